"""Somebody else's source by its import path, and where the annotation files of a source are found."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import SAMPLE
from invented import charades_row, write_charades, write_ssv2

from cia_bench.build import BuildSettings, build
from cia_bench.download import Download, Release
from cia_bench.errors import AnnotationError, CiaError, ConfigError, DownloadError, WriteError
from cia_bench.files import sha256_of
from cia_bench.sources import charades, epic, load_source, read_actions
from cia_bench.sources.files import AnnotationFiles
from cia_bench.sources.places import annotation_folder, local_folder
from cia_bench.verify import verify

KITCHEN = '''"""Actions in kitchens: one CSV, a row an action."""

from cia_bench.sources.files import AnnotationFiles

FILES = ("kitchen.csv",)
WHERE = "ask the cook"
COLUMNS = ("id", "start", "stop", "verb", "noun", "split")


def actions(files: AnnotationFiles):
    rows = files.csv("kitchen.csv", COLUMNS)
    for column in ("start", "stop"):
        is_time = rows[column].str.fullmatch(r"[0-9]{1,5}([.][0-9]+)?")
        rows = files.keep("kitchen.csv", rows, is_time, f"{column} {{{column}}} is no time")
    start_s, stop_s = rows.start.astype(float), rows.stop.astype(float)
    rows = rows.assign(start_s=start_s, stop_s=stop_s, clip_id=rows.id, video=rows.id + ".mp4")
    return rows.assign(text=rows.verb + " " + rows.noun, subject=None)
'''


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Write a module of the author's into the folder where the command is typed; the module's import path."""
    here = tmp_path / "here"
    package = here / f"my_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"  # Python keeps imported modules
    package.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))

    def write(code: str = KITCHEN, name: str = "kitchen") -> str:
        (package / f"{name}.py").write_text(code)
        return f"{package.name}.{name}"

    yield write


def kitchen_csv(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    good = ["a,0.5,1.5,open,drawer,train", "b,0,2,close,drawer,validation"]
    (folder / "kitchen.csv").write_text("\n".join(["id,start,stop,verb,noun,split", *good, *rows]) + "\n")
    return folder


def test_an_authors_source_is_read_by_its_import_path(author, tmp_path):
    assert len(KITCHEN.splitlines()) <= 30
    actions = read_actions(author(), kitchen_csv(tmp_path / "a"))
    frame = actions.frame
    assert frame.clip_id.tolist() == ["a", "b"] and frame.start_s.tolist() == [0.5, 0.0]
    assert frame.duration_s.isna().all() and frame.verb_class.isna().all() and not frame.several_objects.any()
    assert actions.inputs == [{"name": "kitchen.csv", "sha256": sha256_of(tmp_path / "a" / "kitchen.csv")}]


def test_an_authors_file_is_checked_as_an_owners(author, tmp_path):
    source = author()
    with pytest.raises(AnnotationError, match="does not exist; it should hold kitchen.csv; ask the cook"):
        read_actions(source, tmp_path / "none")
    folder = kitchen_csv(tmp_path / "a", "c,nan,2,open,drawer,train", "d,1")
    with pytest.raises(AnnotationError, match="kitchen.csv row 5: it has 2 fields, the header 6; mend it"):
        read_actions(source, folder)
    kitchen_csv(tmp_path / "a", "c,nan,2,open,drawer,train")
    with pytest.raises(AnnotationError, match="kitchen.csv row 4: start 'nan' is no time; mend it"):
        read_actions(source, folder)
    actions = read_actions(source, folder, skip_bad_rows=True)
    assert actions.skipped == [{"file": "kitchen.csv", "row": 4, "reason": "start 'nan' is no time"}]
    assert actions.frame.clip_id.tolist() == ["a", "b"]


def test_an_authors_source_is_built(author, tmp_path):
    rows = [
        f"{verb}{split}{number},{number},{number + 1}.5,{verb},drawer,{split}"
        for verb in ("open", "close")
        for split in ("train", "validation")
        for number in range(6)
    ]
    folder = kitchen_csv(tmp_path / "a", *rows)
    source = author()
    record = build(source, folder, tmp_path / "out")
    assert record["source"] == "kitchen" and record["candidates"]["all"] >= 1
    assert verify(tmp_path / "out") == []
    with pytest.raises(ConfigError, match="no group of kitchen is published; build it with --profile extended"):
        build(source, folder, tmp_path / "other", BuildSettings(profile="paper"))


GIVES = """
import pandas as pd
FILES, WHERE = ("kitchen.csv",), "ask the cook"


def actions(files):
    good = dict(clip_id="a", video="a.mp4", start_s=0.0, stop_s=1.0, verb="open", noun="door", text="t", split="train")
    good["subject"] = None
    frame = pd.DataFrame([good, {{**good, "clip_id": "b"}}], dtype=object)
    {change}
    return {result}
"""


def gives(change: str = "pass", result: str = "frame") -> str:
    return GIVES.format(change=change, result=result)


def cell(column: str, value: str) -> str:
    return gives(f"frame.at[1, {column!r}] = {value}")


REFUSED = {
    "lack column noun": gives('frame = frame.drop(columns="noun")'),
    "lack column clip_id, video, start_s": gives("frame = pd.DataFrame()"),
    "have column verb twice": gives("frame = pd.concat([frame, frame[['verb']]], axis=1)"),
    "returned NoneType, not a DataFrame": gives(result="None"),
    "returned list, not a DataFrame": gives(result="frame.to_dict('records')"),
    "returned Series, not a DataFrame": gives(result="frame.verb"),
    "a clip_id that is not text: clip nan": cell("clip_id", "float('nan')"),
    "a clip_id that is not text: clip None": cell("clip_id", "None"),
    "a clip_id that is not text: clip 7": cell("clip_id", "7"),
    "a clip_id that is not text: clip 1 and 1 more": gives("frame.clip_id = [1, 2]"),
    r"a clip_id that is not text: clip '\ud800'": cell("clip_id", r"'\ud800'"),
    "a video that is not text: clip 'b'": cell("video", "None"),
    "a verb that is not text: clip 'b'": cell("verb", "['open']"),
    "a noun that is not text: clip 'b'": cell("noun", "float('nan')"),
    "a text that is not text: clip 'b'": cell("text", "None"),
    "a text that is not text: clip 'b' ": cell("text", r"'half \udc00'"),
    "a split that is not text: clip 'b'": cell("split", "True"),
    "a subject that is neither text nor None: clip 'b'": cell("subject", "12"),
    "a subject that is neither text nor None: clip 'b' ": cell("subject", r"'\udc00'"),
    "a verb_class that is neither text nor None: clip 'a' and 1 more": gives("frame['verb_class'] = 3"),
    "a start_s that is not a number: clip 'b'": cell("start_s", "'1.0'"),
    "a stop_s that is not a number: clip 'b'": cell("stop_s", "pd.Timedelta(1)"),
    "a stop_s that is not a number: clip 'b' ": cell("stop_s", "True"),
    "a duration_s that is not a number: clip 'a' and 1 more": gives("frame['duration_s'] = 'long'"),
    "a several_objects that is not True or False: clip 'a' and 1 more": gives("frame['several_objects'] = None"),
    "an empty clip_id, verb or noun: clip ''": cell("clip_id", "''"),
    "an empty clip_id, verb or noun: clip 'b'": cell("noun", "''"),
    "a split that is not train or validation: clip 'b'": cell("split", "'test'"),
    "not 0 <= start_s < stop_s, or empty: clip 'b'": cell("stop_s", "0.0"),
    "not 0 <= start_s < stop_s, or empty: clip 'b' ": cell("start_s", "-1"),
    "not 0 <= start_s < stop_s, or empty: clip 'b'  ": cell("start_s", "None"),
    "not 0 <= start_s < stop_s, or empty: clip 'b'   ": cell("stop_s", "float('inf')"),
    "not 0 <= start_s < stop_s, or empty: clip 'b'    ": cell("stop_s", "float('nan')"),
    "a video path that leaves the video folder: clip 'b'": cell("video", "'../x.mp4'"),
    "a video path that leaves the video folder: clip 'b' ": cell("video", "'/x.mp4'"),
    "a video path that leaves the video folder: clip 'b'  ": cell("video", "'C:/x.mp4'"),
    "a video path that leaves the video folder: clip 'b'   ": cell("video", r"'x\\y.mp4'"),
    "a video path that leaves the video folder: clip 'b'    ": cell("video", r"'x\0.mp4'"),
    "a video path that leaves the video folder: clip 'b'     ": cell("video", r"'x.mp4\n'"),
    "a video path that leaves the video folder: clip 'b'      ": cell("video", "''"),
    "a clip id that leaves its folder: clip 'x/../../y'": cell("clip_id", "'x/../../y'"),
    "a clip id that leaves its folder: clip '..'": cell("clip_id", "'..'"),
    "a clip id that leaves its folder: clip '/y'": cell("clip_id", "'/y'"),
    r"a clip id that leaves its folder: clip 'y\x00'": cell("clip_id", r"'y\0'"),
    "a clip id in both splits: clip 'a' and 1 more": gives("frame.clip_id = 'a'; frame.at[1, 'split'] = 'validation'"),
    "a clip id of two videos: clip 'a' and 1 more": gives("frame.clip_id = 'a'; frame.at[1, 'video'] = 'b.mp4'"),
    "an author's own refusal": gives("files.refuse('kitchen.csv', \"an author's own refusal\")"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_an_authors_source_gives_is_checked(message, author, tmp_path):
    folder = kitchen_csv(tmp_path / "a")
    source = author(REFUSED[message])
    for skip_bad_rows in (False, True):
        with pytest.raises(AnnotationError) as error:
            read_actions(source, folder, skip_bad_rows)
        assert str(error.value).endswith(message.rstrip()) or f"{message.rstrip()}," in str(error.value)
        assert str(folder) in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize(
    "change",
    [
        "pass",
        "frame.start_s = frame.stop_s = None",  # whole files
        "frame.start_s = [0, 1]; frame.stop_s = [2, 3]",
        "frame = frame.astype({'start_s': 'Float64', 'verb': 'category', 'subject': 'str'})",
        "frame = frame.iloc[:0]",
        "frame = frame.set_index(pd.Index([7, 7]))",
        "frame.subject = ['P01', None]",
        "frame['verb_class'] = ['open', None]",
        "frame['duration_s'] = [3, None]; frame['several_objects'] = [True, False]",
        "frame['more'] = [object(), 3]",
        "frame.clip_id = ['a/b.c-d', 'дверь 🚪']; frame.video = ['x y.mp4', 'a..b/..c/d...mp4']",
        "frame = pd.concat([frame, frame])",  # twice the same action
    ],
)
def test_what_an_authors_source_may_give(change, author, tmp_path):
    frame = read_actions(author(gives(change)), kitchen_csv(tmp_path / "a")).frame
    assert frame.dtypes[["start_s", "stop_s", "duration_s"]].eq(float).all() and frame.several_objects.dtype == bool


def test_a_frame_that_the_author_keeps_is_not_changed(author, tmp_path):
    source = author(gives(result="KEPT.append(frame) or frame") + "\n\nKEPT = []\n")
    read_actions(source, kitchen_csv(tmp_path / "a"))
    assert "verb_class" not in load_source(source).KEPT[0].columns


def test_one_id_has_the_interval_of_its_first_row_even_if_that_is_a_whole_file(author, tmp_path):
    code = gives("frame.clip_id = 'a'; frame.at[0, 'start_s'] = frame.at[0, 'stop_s'] = None")
    actions = read_actions(author(code), kitchen_csv(tmp_path / "a"))
    assert actions.frame.start_s.isna().tolist() == actions.frame.stop_s.isna().tolist() == [True, True]
    assert actions.merged == ["a"]


def test_a_bug_in_an_authors_source_keeps_its_own_error(author, tmp_path):
    with pytest.raises(ZeroDivisionError):
        read_actions(author(gives("1 / 0")), kitchen_csv(tmp_path / "a"))


@pytest.mark.parametrize("name", ["epic", "ssv2", "charades", "synthetic", "verdicts"])
def test_a_source_cant_be_called_like_ours(name, author):
    with pytest.raises(ConfigError, match=f"a source can't be called '{name}'; rename the module my"):
        load_source(author(name=name))


@pytest.mark.parametrize(
    "source",
    [".", "..", ".kitchen", "my.", "my..kitchen", "my/kitchen.py", "../kitchen", "my.kit chen", "my.kitchen\n", "my.\0"]
    + ["my-sources.kitchen", "my.kitchen:actions", "my.3"],
)
def test_other_texts_are_no_import_path(source, author):
    author()
    with pytest.raises(ConfigError, match="is no import path like my_sources.kitchen"):
        load_source(source)


def test_a_source_that_cant_be_imported_is_told(author):
    package = author().rpartition(".")[0]
    with pytest.raises(ConfigError, match=rf"can't import the source {package}.no \(from .*\): No module named"):
        load_source(f"{package}.no")
    with pytest.raises(ConfigError, match="can't import the source my.os"):
        load_source("my.os")
    with pytest.raises(ConfigError, match="No module named 'nowhere'"):
        load_source(author("import nowhere", name="lacking"))


def test_a_module_that_is_no_source_is_told(author):
    with pytest.raises(ConfigError, match="does not define FILES, WHERE, actions"):
        load_source(author("", name="empty"))
    with pytest.raises(ConfigError, match="FILES of the source .* is 'kitchen.csv', not a tuple of file names"):
        load_source(author(KITCHEN.replace('("kitchen.csv",)', '("kitchen.csv")'), name="comma"))


@pytest.mark.parametrize("source", ["", "Epic", "epic ", "synthetic", "ssv2\n", "эпик"])
def test_an_unknown_name_lists_the_known_ones(source):
    with pytest.raises(ConfigError, match="unknown source .*; choose from charades, epic, ssv2, synthetic, or name a"):
        load_source(source)


def test_a_file_that_cant_be_read_is_told(annotations, monkeypatch):
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AnnotationError, match="EPIC_100_noun_classes.csv can't be read: Permission denied"):
        read_actions("epic", annotations)


def test_values_with_braces_and_line_breaks_are_quoted_in_one_line(author, tmp_path):
    folder = kitchen_csv(tmp_path / "a", '"{clip}\u2028\n",1,{0.__class__},open,drawer,train')
    with pytest.raises(AnnotationError) as error:
        read_actions(author(), folder)
    assert "row 4: stop '{0.__class__}' is no time" in str(error.value)


def test_the_header_of_any_file_can_be_asked_for(tmp_path, author):
    module = load_source(author())
    for content, header in (
        (b"", []),
        (b'a,"b\nc"\n1,2\n', ["a", "b\nc"]),
        (b"x" * 200_000, []),  # longer than a CSV field may be
        (b"\n", []),
    ):
        (tmp_path / "kitchen.csv").write_bytes(content)
        assert AnnotationFiles(tmp_path, module).header("kitchen.csv") == header
    (tmp_path / "kitchen.csv").write_bytes(b"\xff")
    with pytest.raises(AnnotationError, match="is not UTF-8 text"):
        AnnotationFiles(tmp_path, module).header("kitchen.csv")


# places


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CIA_ANNOTATIONS", raising=False)
    monkeypatch.setenv("CIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_missing_files_that_may_not_be_fetched_are_named_with_where_to_put_them(cache):
    with pytest.raises(ConfigError) as error:
        annotation_folder("ssv2")
    assert str(error.value) == (
        "the annotation files of ssv2 are not here: something-something-v2-train.json, "
        "something-something-v2-validation.json, something-something-v2-labels.json; sign in at "
        "https://www.qualcomm.com/developer/software/something-something-v-2-dataset and download the labels; "
        "the newer names labels/train.json, labels/validation.json and labels/labels.json work too; then "
        "give --annotations DIR, or set CIA_ANNOTATIONS to a folder that holds them in ssv2/, or put them into "
        f"{cache / 'ssv2'}"
    )
    assert not cache.exists() and local_folder("ssv2") is None


def test_every_place_that_is_named_works(cache, tmp_path, monkeypatch):
    in_cache = write_ssv2(cache / "ssv2", ["Closing [something]"], 2, 2)
    assert annotation_folder("ssv2") == local_folder("ssv2") == in_cache
    named = write_ssv2(tmp_path / "named" / "ssv2", ["Closing [something]"], 2, 2)
    monkeypatch.setenv("CIA_ANNOTATIONS", str(named.parent))
    assert annotation_folder("ssv2") == local_folder("ssv2") == named  # before the cache
    other = write_ssv2(tmp_path / "other" / "ssv2", ["Closing [something]"], 2, 2)
    monkeypatch.delenv("CIA_ANNOTATIONS")
    assert annotation_folder("ssv2", tmp_path / "other") == other  # a cache that is given before $CIA_CACHE
    monkeypatch.setenv("CIA_ANNOTATIONS", "")
    assert annotation_folder("ssv2") == in_cache


def test_an_authors_source_has_its_places_by_its_last_name(author, cache, tmp_path, monkeypatch):
    source = author()
    with pytest.raises(ConfigError, match="of kitchen are not here: kitchen.csv; ask the cook; then give"):
        annotation_folder(source)
    monkeypatch.setenv("CIA_ANNOTATIONS", str(tmp_path))
    folder = kitchen_csv(tmp_path / "kitchen")
    assert annotation_folder(source) == folder


class Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A web server that offers tmp_path/offered."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "offered"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=folder))
    server.asked, server.folder = [], folder
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def offers_epic(owner: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in SAMPLE.iterdir():
        (owner.folder / path.name).write_bytes(path.read_bytes())
    downloads = tuple(Download(f"{owner.url}/{name}", sha256_of(SAMPLE / name)) for name in epic.FILES)
    monkeypatch.setattr(epic, "RELEASE", Release(downloads, "licence of EPIC", "cite EPIC"))


def test_files_that_may_be_fetched_are_fetched_once_and_their_licence_told_once(owner, cache, monkeypatch):
    offers_epic(owner, monkeypatch)
    told = []
    folder = annotation_folder("epic", tell=told.append)
    assert folder == cache / "epic"
    assert told == [f"fetched {', '.join(epic.FILES)} into {folder}", "licence: licence of EPIC", "to cite: cite EPIC"]
    assert owner.asked == [f"/{name}" for name in epic.FILES]
    assert annotation_folder("epic", tell=told.append) == folder
    assert len(told) == 3 and len(owner.asked) == 5
    assert len(read_actions("epic", folder).frame) == len(read_actions("epic", SAMPLE).frame)


def test_only_what_is_missing_or_damaged_is_fetched_again(owner, cache, monkeypatch):
    offers_epic(owner, monkeypatch)
    folder = annotation_folder("epic")
    (folder / "EPIC_100_video_info.csv").unlink()
    (folder / "EPIC_100_noun_classes.csv").write_text("id,key\n")
    told = []
    annotation_folder("epic", tell=told.append)
    assert told[0] == f"fetched EPIC_100_noun_classes.csv, EPIC_100_video_info.csv into {folder}"
    assert sha256_of(folder / "EPIC_100_noun_classes.csv") == sha256_of(SAMPLE / "EPIC_100_noun_classes.csv")


def test_files_that_the_user_named_are_never_fetched_or_replaced(owner, cache, tmp_path, monkeypatch):
    offers_epic(owner, monkeypatch)
    monkeypatch.setenv("CIA_ANNOTATIONS", str(tmp_path / "mine"))
    (tmp_path / "mine" / "epic").mkdir(parents=True)
    assert annotation_folder("epic") == tmp_path / "mine" / "epic"
    assert owner.asked == [] and not cache.exists()


def test_charades_is_taken_out_of_its_zip(owner, cache, monkeypatch, tmp_path):
    made = write_charades(tmp_path / "made", ["c006 Closing a door"], [charades_row("AAAAA", "S", "c006 1.0 2.0")], [])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as inside:
        for name in charades.FILES:
            inside.writestr(f"Charades/{name}", (made / name).read_bytes())
    (owner.folder / "Charades.zip").write_bytes(archive.getvalue())
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    download = Download(f"{owner.url}/Charades.zip", digest, members=charades.FILES)
    monkeypatch.setattr(charades, "RELEASE", Release((download,), "licence", "cite"))
    told = []
    for _ in range(2):
        folder = annotation_folder("charades", tell=told.append)
    assert len(told) == 3 and owner.asked == ["/Charades.zip"]
    assert read_actions("charades", folder).frame.clip_id.tolist() == ["AAAAA_1.0_2.0"]


def test_what_cant_be_fetched_is_told_with_the_other_way(owner, cache, monkeypatch):
    downloads = (Download(f"{owner.url}/gone.csv", "0" * 64),)
    monkeypatch.setattr(epic, "RELEASE", Release(downloads, "licence", "cite"))
    with pytest.raises(DownloadError) as error:
        annotation_folder("epic")
    assert str(error.value).startswith(f"can't download {owner.url}/gone.csv: HTTP 404")
    assert str(error.value).endswith("(CC BY-NC 4.0); then give --annotations DIR")


def test_a_cache_that_cant_be_written_is_told(owner, tmp_path, monkeypatch):
    offers_epic(owner, monkeypatch)
    monkeypatch.delenv("CIA_ANNOTATIONS", raising=False)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError) as error:
        annotation_folder("epic", tmp_path / "file")
    assert isinstance(error.value, CiaError) and str(error.value).isprintable()
