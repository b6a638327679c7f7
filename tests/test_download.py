import gzip
import hashlib
import io
import json
import logging
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cia_bench import download
from cia_bench.download import Download, Patience, cache_folder, fetch
from cia_bench.errors import DownloadError, WriteError
from cia_bench.progress import shown

DATA = random.Random(0).randbytes(100_000)
OTHER = random.Random(1).randbytes(100_000)
IMPATIENT = Patience(tries=4, connect_s=1, read_s=0.2, pause_s=0.001)
MEMBERS = {"Charades_v1_train.csv": b"id,actions\n" * 100, "Charades_v1_test.csv": b"id\n" * 100}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.owner.answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: object) -> None:
        """Send `body`; headers are given with _ for -, and one that is None is left out."""
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


Answer = Callable[[Handler], None]


class Owner:
    """A web server that gives the answers of a test one after the other, the last one again and again."""

    def __init__(self):
        self.answers: list[Answer] = [whole()]
        self.asked: list[tuple[str, str | None]] = []  # the path and the Range of each request
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.ended = threading.Event()

    def answer(self, handler: Handler) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        self.asked.append((handler.path, handler.headers["Range"]))
        self.answers[min(len(self.asked), len(self.answers)) - 1](handler)

    def offers(self, *answers: Answer, data: bytes = DATA, size: int | None = None, **more: object) -> Download:
        """Set the answers, and return what a release would say of a file with `data`."""
        self.answers = list(answers)
        return Download(f"{self.url}/owner/file.csv", hashlib.sha256(data).hexdigest(), size, **more)

    def offers_zip(self, data: bytes, members: tuple[str, ...] = tuple(MEMBERS)) -> Download:
        self.answers = [whole(data)]
        return Download(f"{self.url}/owner/all.zip", hashlib.sha256(data).hexdigest(), len(data), members)


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    owner = Owner()
    thread = threading.Thread(target=owner.server.serve_forever, args=(0.01,))
    thread.start()
    yield owner
    owner.ended.set()
    owner.server.shutdown()
    owner.server.server_close()
    thread.join()


def whole(data: bytes = DATA, **headers: object) -> Answer:
    return lambda handler: handler.reply(200, data, **headers)


def status(code: int, **headers: object) -> Answer:
    return lambda handler: handler.reply(code, b"no", **headers)


def cut(count: int) -> Answer:
    """Say that all is to come, send the first `count` bytes and hang up."""
    return lambda handler: handler.reply(200, DATA[:count], Content_Length=len(DATA))


def rest(data: bytes = DATA, length: str | None = None) -> Answer:
    """Send what the Range header asks for, and say that the whole has `length` bytes, else how many it has."""

    def answer(handler: Handler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        handler.reply(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{length or len(data)}")

    return answer


def stall(count: int) -> Answer:
    """Send the first `count` bytes and then nothing, but stay connected."""

    def answer(handler: Handler) -> None:
        handler.reply(200, DATA[:count], Content_Length=len(DATA))
        handler.server.owner.ended.wait(5)

    return answer


def chunked(handler: Handler) -> None:
    """Begin a body of chunks, of a length that is not said, and break off inside the second."""
    handler.protocol_version = "HTTP/1.1"
    handler.reply(
        200,
        b"2328\r\n" + DATA[:9000] + b"\r\n2328\r\n" + DATA[9000:9100],
        Content_Length=None,
        Transfer_Encoding="chunked",
    )
    handler.close_connection = True


def get(wanted: Download, folder: Path, patience: Patience = IMPATIENT) -> list[str]:
    return fetch([wanted], folder, patience=patience)


def refused(wanted: Download, folder: Path, patience: Patience = IMPATIENT) -> str:
    with pytest.raises(DownloadError) as caught:
        get(wanted, folder, patience)
    message = str(caught.value)
    assert "\n" not in message and "Pool" not in message and "0x" not in message
    assert wanted.url in message
    return message


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, without the lock that always stays."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def packed(entries: list[tuple[str, bytes]]) -> bytes:
    """A zip of named contents; the same name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


# a file


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_file_gets_its_name_and_a_second_fetch_asks_nobody(owner, tmp_path, size):
    wanted = owner.offers(whole(), size=size)
    assert get(wanted, tmp_path / "new" / "folder") == ["file.csv"]
    assert files(tmp_path / "new" / "folder") == {"file.csv": DATA}
    assert get(wanted, tmp_path / "new" / "folder") == []
    assert owner.asked == [("/owner/file.csv", None)]


def test_only_files_that_lack_are_fetched(owner, tmp_path):
    first = owner.offers(whole())
    second = Download(f"{owner.url}/second%20file.csv?download=1", first.sha256)
    get(first, tmp_path)
    assert fetch([first, second], tmp_path) == ["second file.csv"]
    assert [path for path, _ in owner.asked] == ["/owner/file.csv", "/second%20file.csv?download=1"]


def test_a_folder_that_has_all_may_be_one_that_can_not_be_written(owner, tmp_path):
    wanted = owner.offers(whole())
    get(wanted, tmp_path)
    (tmp_path / ".lock").unlink()
    tmp_path.chmod(0o500)
    try:
        assert get(wanted, tmp_path) == []
        assert not (tmp_path / ".lock").exists()
    finally:
        tmp_path.chmod(0o700)


def test_a_damaged_file_is_fetched_again_and_said_so(owner, tmp_path, caplog):
    wanted = owner.offers(whole())
    (tmp_path / "file.csv").write_bytes(OTHER)
    assert get(wanted, tmp_path) == ["file.csv"]
    assert files(tmp_path) == {"file.csv": DATA}
    assert f"replacing {tmp_path / 'file.csv'}, which is damaged or of another release" in caplog.text


def test_a_file_that_is_there_stays_until_the_new_one_is_right(owner, tmp_path):
    (tmp_path / "file.csv").write_bytes(OTHER)
    refused(owner.offers(status(404)), tmp_path)
    assert files(tmp_path) == {"file.csv": OTHER}


def test_a_body_packed_against_our_wish_is_unpacked(owner, tmp_path):
    get(owner.offers(whole(gzip.compress(DATA), Content_Encoding="gzip"), size=len(DATA)), tmp_path)
    assert files(tmp_path) == {"file.csv": DATA}


# broken connections


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_after_a_break_only_the_rest_is_asked_for(owner, tmp_path, size):
    get(owner.offers(cut(30_001), rest(), size=size), tmp_path)
    assert owner.asked == [("/owner/file.csv", None), ("/owner/file.csv", "bytes=30001-")]
    assert files(tmp_path) == {"file.csv": DATA}


def test_what_an_earlier_run_left_is_continued(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(DATA[:777])
    get(owner.offers(rest()), tmp_path)
    assert owner.asked == [("/owner/file.csv", "bytes=777-")]
    assert files(tmp_path) == {"file.csv": DATA}


def test_the_rest_of_a_file_may_come_without_the_length_of_the_whole(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(DATA[:777])
    get(owner.offers(rest(length="*")), tmp_path)
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_run_that_was_killed_is_continued(owner, tmp_path):
    wanted = owner.offers(stall(50_000), rest())
    code = f"from cia_bench.download import *; fetch([{wanted!r}], Path({str(tmp_path)!r}))"
    run = subprocess.Popen([sys.executable, "-c", code])
    part = tmp_path / ".part-file.csv"
    limit = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = part.stat().st_size
    assert 0 < kept <= 50_000
    get(wanted, tmp_path)
    assert owner.asked[1] == ("/owner/file.csv", f"bytes={kept}-")
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_part_that_is_already_whole_needs_no_request(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(DATA)
    assert get(owner.offers(status(404)), tmp_path) == ["file.csv"]
    assert owner.asked == []


@pytest.mark.parametrize("ignores", [whole(), whole(Content_Length=None)])
def test_a_server_that_sends_all_again_instead_of_the_rest_does_no_harm(owner, tmp_path, ignores):
    get(owner.offers(cut(30_000), ignores, size=len(DATA)), tmp_path)
    assert len(owner.asked) == 2
    assert files(tmp_path) == {"file.csv": DATA}


@pytest.mark.parametrize(
    "no_rest",
    [
        status(416),
        status(206),
        status(206, Content_Range="bytes 5-99999/100000"),
        status(206, Content_Range="lines 30000-1/2"),
    ],
)
def test_a_server_that_can_not_go_on_is_asked_for_all(owner, tmp_path, no_rest):
    get(owner.offers(cut(30_000), no_rest, whole()), tmp_path)
    assert [asked for _, asked in owner.asked] == [None, "bytes=30000-", None]
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_file_that_never_comes_whole_is_told_with_what_is_kept(owner, tmp_path):
    again = cut(1000)
    message = refused(owner.offers(again, again, again, again), tmp_path)
    assert "ended after 1,000 of 100,000 bytes; tried 4 times; the 1,000 bytes loaded so far are kept" in message
    assert files(tmp_path) == {".part-file.csv": DATA[:1000]}


def test_a_short_body_of_no_said_length_is_not_taken_for_the_whole(owner, tmp_path):
    short = whole(DATA[:1000], Content_Length=None)
    assert "ended after 1,000 of 100,000 bytes" in refused(owner.offers(short, size=len(DATA)), tmp_path)


def test_a_chunked_body_that_breaks_is_kept_and_continued(owner, tmp_path):
    get(owner.offers(chunked, rest()), tmp_path)
    assert [asked for _, asked in owner.asked] == [None, "bytes=9000-"]


def test_an_answer_that_stalls_is_given_up_and_tried_again(owner, tmp_path):
    get(owner.offers(stall(50_000), rest()), tmp_path)
    assert len(owner.asked) == 2
    assert files(tmp_path) == {"file.csv": DATA}


@pytest.mark.parametrize("silence", [lambda handler: handler.server.owner.ended.wait(5), stall(0), stall(50_000)])
def test_a_server_that_stays_silent_is_told_with_how_long_we_waited(owner, tmp_path, silence):
    message = refused(owner.offers(silence), tmp_path, Patience(tries=2, read_s=0.2, pause_s=0))
    assert ": no answer within 0.2 s; tried 2 times" in message


def test_a_server_that_hangs_up_at_once_is_told(owner, tmp_path):
    message = refused(owner.offers(lambda handler: None), tmp_path)
    assert "can't reach 127.0.0.1: remote end closed connection without response; tried 4 times" in message


def test_what_is_no_http_reaches_no_terminal_as_it_is(owner, tmp_path, caplog):
    message = refused(owner.offers(lambda handler: handler.wfile.write(b"\x1b[31mSSH-2.0\n")), tmp_path)
    assert "can't reach 127.0.0.1: \\x1b[31mSSH-2.0; tried 4 times" in message
    assert caplog.messages and not any("\x1b" in said for said in caplog.messages)


def test_a_closed_port_is_told_in_plain_words(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        raise FileNotFoundError("an error that a caller is handling is not the cause")
    except FileNotFoundError:
        message = refused(Download(f"http://127.0.0.1:{port}/f.csv", "0" * 64), tmp_path)
    assert message.endswith("f.csv: can't reach 127.0.0.1: connection refused; tried 4 times")


def test_an_unknown_host_is_told_in_plain_words(tmp_path, monkeypatch):
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = refused(Download("https://raw.example.com/f.csv", "0" * 64), tmp_path)
    assert "can't reach raw.example.com: name or service not known; tried 4 times" in message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError("timed out"), "no answer within 7 s"),
        (TimeoutError(110, "Connection timed out"), "can't reach raw.example.com: connection timed out"),
    ],
)
def test_a_connection_that_never_comes_about_is_told(tmp_path, monkeypatch, error, said):
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ())])
    monkeypatch.setattr(socket.socket, "connect", fails)
    wanted = Download("https://raw.example.com/f.csv", "0" * 64)
    assert f": {said}; tried once" in refused(wanted, tmp_path, Patience(tries=1, connect_s=7))


# what a server says


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_busy_server_is_asked_again_each_time_later(owner, tmp_path, monkeypatch, code):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    get(owner.offers(status(code), status(code), whole()), tmp_path, Patience(pause_s=1))
    assert len(owner.asked) == 3 and pauses == [1, 2]


def test_a_server_that_stays_busy_is_given_up(owner, tmp_path):
    assert refused(owner.offers(status(503)), tmp_path).endswith("file.csv: HTTP 503; tried 4 times")
    assert len(owner.asked) == 4


@pytest.mark.parametrize("code", [404, 403, 416, 204, 304])
def test_a_server_that_says_no_is_asked_once(owner, tmp_path, code):
    assert refused(owner.offers(status(code)), tmp_path).endswith(f"file.csv: HTTP {code}; tried once")
    assert len(owner.asked) == 1
    assert files(tmp_path) == {}


def test_redirects_are_followed_and_keep_the_wish_for_the_rest(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(DATA[:777])
    get(owner.offers(status(302, Location="/b"), status(307, Location=f"{owner.url}/c"), rest()), tmp_path)
    assert owner.asked == [("/owner/file.csv", "bytes=777-"), ("/b", "bytes=777-"), ("/c", "bytes=777-")]
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_redirect_loop_ends(owner, tmp_path):
    message = refused(owner.offers(status(302, Location="/owner/file.csv")), tmp_path)
    assert "it redirects more than 10 times; tried once" in message
    assert len(owner.asked) == 11


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[bad"])
def test_a_redirect_to_no_web_address_is_refused(owner, tmp_path, location):
    message = refused(owner.offers(status(302, Location=location)), tmp_path)
    assert "it leads to what is no web address" in message and message.endswith("; tried once")


def test_a_redirect_never_leaves_https():
    assert download._redirected("https://a.org/b/c", "d") == "https://a.org/b/d"
    assert download._redirected("http://a.org/b", "https://c.org/") == "https://c.org/"
    with pytest.raises(download._Refused, match="from https to http://a.org/b"):
        download._redirected("https://a.org/b", "http://a.org/b")


# another file than the one expected


def test_wrong_bytes_are_fetched_once_more_and_never_kept(owner, tmp_path):
    message = refused(owner.offers(whole(OTHER), size=len(DATA)), tmp_path)
    found, expected = hashlib.sha256(OTHER).hexdigest(), hashlib.sha256(DATA).hexdigest()
    assert f"its SHA-256 is {found} where {expected} is expected; tried 2 times; nothing was kept; try" in message
    assert len(owner.asked) == 2 and files(tmp_path) == {}


def test_wrong_bytes_and_then_the_right_ones_are_fine(owner, tmp_path):
    get(owner.offers(whole(OTHER), whole()), tmp_path)
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_left_part_of_another_file_is_found_out_and_loaded_from_zero(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(OTHER[:777])
    get(owner.offers(rest(), whole()), tmp_path)
    assert [asked for _, asked in owner.asked] == ["bytes=777-", None]
    assert files(tmp_path) == {"file.csv": DATA}


def test_a_left_part_longer_than_the_file_is_thrown_away(owner, tmp_path):
    (tmp_path / ".part-file.csv").write_bytes(OTHER + OTHER)
    get(owner.offers(whole(), size=len(DATA)), tmp_path)
    assert [asked for _, asked in owner.asked] == [None]


@pytest.mark.parametrize("other", [DATA + b"more", DATA[:-1]])
def test_a_file_of_another_length_is_not_even_loaded(owner, tmp_path, other):
    message = refused(owner.offers(whole(other), size=len(DATA)), tmp_path)
    assert f"it is {len(other):,} bytes long where 100,000 are expected; tried 2 times" in message
    assert files(tmp_path) == {}


def test_a_body_that_goes_on_is_stopped(owner, tmp_path):
    message = refused(owner.offers(whole(DATA + b"more", Content_Length=None), size=len(DATA)), tmp_path)
    assert "it goes on after 100,000 bytes; tried 2 times; nothing was kept" in message
    assert files(tmp_path) == {}


@pytest.mark.parametrize("length", [None, len(DATA)])
def test_a_file_of_unknown_size_may_not_fill_the_disk(owner, tmp_path, monkeypatch, length):
    monkeypatch.setattr(download, "UNKNOWN_MAX", 99_999)
    message = refused(owner.offers(whole(Content_Length=length)), tmp_path)
    expected = "it goes on after 99,999 bytes" if length is None else "it is 100,000 bytes long, more than the 99,999"
    assert expected in message
    assert files(tmp_path) == {}


# zips


def test_the_wanted_members_of_a_zip_are_taken_out_and_a_second_fetch_asks_nobody(owner, tmp_path):
    wanted = owner.offers_zip(
        packed([("README", b""), *((f"Charades/{name}", data) for name, data in MEMBERS.items())])
    )
    assert get(wanted, tmp_path) == list(MEMBERS)
    held = files(tmp_path)
    assert held.pop("downloads.json") and held == MEMBERS
    assert get(wanted, tmp_path) == []
    assert len(owner.asked) == 1


@pytest.mark.parametrize("damage", ["change", "remove", "forget", "garble"])
def test_a_member_that_is_missing_or_differs_makes_the_zip_be_fetched_again(owner, tmp_path, damage):
    wanted = owner.offers_zip(packed(list(MEMBERS.items())))
    get(wanted, tmp_path)
    before = files(tmp_path)
    member, record = tmp_path / "Charades_v1_test.csv", tmp_path / "downloads.json"
    {
        "change": lambda: member.write_bytes(b"other"),
        "remove": member.unlink,
        "forget": record.unlink,
        "garble": lambda: record.write_text(json.dumps({wanted.sha256: []})),
    }[damage]()
    assert get(wanted, tmp_path) == list(MEMBERS)
    assert len(owner.asked) == 2
    assert files(tmp_path) == before


def test_members_of_an_older_zip_are_replaced_when_a_release_names_another(owner, tmp_path):
    get(owner.offers_zip(packed([(name, b"old") for name in MEMBERS])), tmp_path)
    get(owner.offers_zip(packed(list(MEMBERS.items()))), tmp_path)
    assert {name: data for name, data in files(tmp_path).items() if name in MEMBERS} == MEMBERS


def test_the_members_of_two_zips_are_remembered(owner, tmp_path):
    zips = [(packed([(name, content)]), (name,)) for name, content in MEMBERS.items()]
    for data, members in (*zips, *zips):
        get(owner.offers_zip(data, members), tmp_path)
    assert len(owner.asked) == 2


def test_a_path_in_a_zip_leads_nowhere(owner, tmp_path):
    folder = tmp_path / "a" / "b" / "cache"
    name = "Charades_v1_train.csv"
    data = packed([(f"../../evil/{name}", MEMBERS[name]), (f"{name}/", b"")])
    get(owner.offers_zip(data, (name,)), folder)
    assert (folder / name).read_bytes() == MEMBERS[name]
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {f"a/b/cache/{file}" for file in (name, "downloads.json", ".lock")}


@pytest.mark.parametrize(("entries", "count"), [([("a/x.csv", b"")], 0), ([("a/f.csv", b"1"), ("b/f.csv", b"2")], 2)])
def test_a_zip_must_hold_exactly_one_file_of_a_name(owner, tmp_path, entries, count):
    message = refused(owner.offers_zip(packed(entries), ("f.csv",)), tmp_path)
    assert f"can't take f.csv out of {owner.url}/owner/all.zip: it holds {count} files named f.csv" in message
    assert files(tmp_path) == {}


def damaged(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


def with_false_length(data: bytes, length: int) -> bytes:
    """A zip of one member whose directory says that it is `length` bytes long."""
    place = data.index(b"PK\x01\x02") + 24
    return data[:place] + length.to_bytes(4, "little") + data[place + 4 :]


CONTENT = random.Random(2).randbytes(5000)
GOOD = packed([("f.csv", CONTENT)])
BAD = {
    "no zip": b"no zip",
    "cut": GOOD[:-50],
    "wrong bytes": damaged(GOOD, 2500),
    "encrypted": damaged(GOOD, GOOD.index(b"PK\x01\x02") + 8),
    "longer than said": with_false_length(GOOD, 5),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_corrupt_zip_is_refused_and_nothing_of_it_stays(owner, tmp_path, bad):
    assert f"can't take f.csv out of {owner.url}" in refused(owner.offers_zip(bad, ("f.csv",)), tmp_path)
    assert files(tmp_path) == {}


def test_of_a_zip_that_lacks_a_member_no_other_is_taken(owner, tmp_path):
    name = "Charades_v1_train.csv"
    assert "it holds 0 files named Charades_v1_test.csv" in refused(owner.offers_zip(packed([(name, b"")])), tmp_path)
    assert files(tmp_path) == {}


def test_a_huge_member_is_refused(owner, tmp_path):
    wanted = owner.offers_zip(with_false_length(GOOD, 2_000_000_000), ("f.csv",))
    assert "f.csv in it is 2,000,000,000 bytes long, more than the 100,000,000 allowed" in refused(wanted, tmp_path)
    assert files(tmp_path) == {}


# the disk, other processes, what is shown

LIMITED = """
import resource, sys
from cia_bench.download import *
from cia_bench.errors import WriteError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    fetch([{wanted!r}], Path(sys.argv[2]))
except WriteError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_leaves_nothing(owner, tmp_path):
    single = owner.offers(whole())
    small = packed([("f.csv", b"a" * 50_000)])
    zipped = owner.offers_zip(small, ("f.csv",))
    for wanted, data, end in (
        (single, DATA, "no half file was left"),
        (zipped, small, "nothing was changed"),
    ):
        owner.answers = [whole(data)]
        command = [sys.executable, "-c", LIMITED.format(wanted=wanted), "20000", str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.stdout == f"can't write to {tmp_path}: File too large; {end} there\n", run.stderr
        assert files(tmp_path) == {}


def test_a_place_that_can_not_be_written_is_told(owner, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="can't write to .*file/sub: Not a directory"):
        get(owner.offers(whole()), tmp_path / "file" / "sub")


def test_of_two_that_fetch_at_once_one_waits_and_finds_all_there(owner, tmp_path, caplog):
    def once_another_waits(handler: Handler) -> None:
        limit = time.monotonic() + 60
        while "waiting for another process" not in caplog.text and time.monotonic() < limit:
            time.sleep(0.01)
        handler.reply(200, DATA)

    wanted = owner.offers(once_another_waits)
    with ThreadPoolExecutor() as pool:
        got = list(pool.map(lambda _: get(wanted, tmp_path), range(2)))
    assert sorted(got) == [[], ["file.csv"]]
    assert len(owner.asked) == 1
    assert f"waiting for another process that downloads into {tmp_path}" in caplog.text


def unlockable(*arguments: object) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("system", [None, "a drive without locks"])
def test_where_nothing_can_be_locked_a_fetch_goes_on(owner, tmp_path, monkeypatch, system):
    if system is None:
        monkeypatch.setattr("cia_bench.files.fcntl", None)
    else:
        monkeypatch.setattr("cia_bench.files.fcntl.flock", unlockable)
    assert get(owner.offers(whole()), tmp_path) == ["file.csv"]


def test_progress_counts_kilobytes_up_to_the_last_also_of_the_rest(owner, tmp_path, capsys):
    wanted = owner.offers(whole(DATA[:99_001]), data=DATA[:99_001])
    fetch([wanted], tmp_path, shown)
    (tmp_path / "file.csv").unlink()
    (tmp_path / ".part-file.csv").write_bytes(DATA[:90_000])
    owner.answers = [rest(DATA[:99_001])]
    fetch([wanted], tmp_path, shown)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("download file.csv: 100/100, ") and " kB/s, " in first
    assert second.startswith("download file.csv, the rest: 10/10, ")


def test_each_new_try_is_said_with_its_reason(owner, tmp_path, caplog):
    get(owner.offers(status(503), whole()), tmp_path, Patience(pause_s=0.01))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ["download file.csv: HTTP 503; trying again in 0.01 s"]


def test_the_cache_is_what_is_asked_for_else_what_the_environment_says_else_the_systems(monkeypatch, tmp_path):
    monkeypatch.setenv("CIA_CACHE", str(tmp_path / "set"))
    assert cache_folder(tmp_path / "asked") == tmp_path / "asked"
    assert cache_folder(None) == tmp_path / "set"
    monkeypatch.setenv("CIA_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    assert "cia-bench" in cache_folder(None).parts


def test_importing_the_module_loads_no_network_code():
    code = "import sys, cia_bench.download; print({'requests', 'urllib3', 'platformdirs'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
