"""Fetch the owners' annotation files into a cache, whole and checked."""

import logging
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from cia_bench.errors import DownloadError, WriteError, printable
from cia_bench.files import alone, read_json, sha256_of, whole_files, write_json
from cia_bench.progress import Advance, Progress, silent

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

CHUNK = 1 << 14  # bytes; a connection that stalls loses no more than this
UNKNOWN_MAX = 200_000_000  # bytes of a file whose size we do not know
MEMBER_MAX = 100_000_000  # bytes of one file taken out of a zip
REDIRECTS = 10
RECORD = "downloads.json"  # SHA-256 of a zip -> its members' names -> the SHA-256 of each


@dataclass(frozen=True)
class Download:
    """A file that its owner offers, and what its bytes must be.

    `size` is in bytes, None where it is not known. `members` are the files to take out of a zip, by their base name;
    without them the file itself is wanted.
    """

    url: str
    sha256: str
    size: int | None = None
    members: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


@dataclass(frozen=True)
class Release:
    """What a source's owner offers, under which licence and how to cite it."""

    downloads: tuple[Download, ...]
    licence: str
    citation: str


@dataclass(frozen=True)
class Patience:
    """How often and how long to try for one file; the pause doubles from try to try."""

    tries: int = 4
    connect_s: float = 10
    read_s: float = 30
    pause_s: float = 1


class _Fault(Exception):
    """A try failed; the next may go on where it ended."""


class _Stale(_Fault):
    """What was loaded so far can't be continued; the next try starts from nothing."""


class _Wrong(_Stale):
    """What came is not the file; an earlier part may be the culprit, so one more try starts from nothing."""


class _Refused(_Fault):
    """Another try would get the same answer."""


def cache_folder(cache: Path | None) -> Path:
    """Where downloads are kept: `cache`, else $CIA_CACHE, else the place that this system has for caches."""
    import platformdirs

    return cache or Path(os.environ.get("CIA_CACHE") or platformdirs.user_cache_dir("cia-bench", appauthor=False))


def fetch(
    downloads: Sequence[Download], folder: Path, progress: Progress = silent, patience: Patience | None = None
) -> list[str]:
    """Fetch what `folder` lacks of `downloads`, and return the names of the files put there.

    A file that is there and right is kept without any request. Each other one gets its name only when its size and
    digest are right. Only one process at a time fetches into a folder.

    Raises DownloadError if a file can't be had or is not the right one, WriteError if it can't be written.
    """
    try:
        if all(_is_there(download, folder) for download in downloads):
            return []  # before the lock, so that a folder may be read-only
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder, lambda: logger.warning("waiting for another process that downloads into %s", folder)):
            lacking = [download for download in downloads if not _is_there(download, folder)]
            return [name for download in lacking for name in _get(download, folder, progress, patience or Patience())]
    except OSError as error:
        raise WriteError(f"can't write to {folder}: {error.strerror or error}; no half file was left there") from error


def _is_there(download: Download, folder: Path) -> bool:
    return all(_is_right(folder / name, digest) for name, digest in _digests(download, folder).items())


def _is_right(path: Path, digest: str | None) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _digests(download: Download, folder: Path) -> dict[str, str | None]:
    """The names that a download gets in `folder` with their SHA-256, None for a member of a zip not opened so far."""
    if not download.members:
        return {download.name: download.sha256}
    members = _read_record(folder).get(download.sha256)
    known = members if isinstance(members, dict) else {}
    return {member: known.get(member) for member in download.members}


def _read_record(folder: Path) -> dict:
    try:
        return read_json(folder / RECORD)
    except ValueError:  # not there yet, or damaged: then the zip is fetched again
        return {}


def _get(download: Download, folder: Path, progress: Progress, patience: Patience) -> list[str]:
    """Put the files of a download into `folder` and return their names."""
    for name in _digests(download, folder):
        if (folder / name).exists():
            logger.warning("replacing %s, which is damaged or of another release", folder / name)
    part = folder / f".part-{download.name}"
    try:
        _load(download, part, progress, patience)
        if download.members:
            return _unzip(download, part, folder)
        os.replace(part, folder / download.name)
        return [download.name]
    except (OSError, WriteError):
        part.unlink(missing_ok=True)  # it may be what fills the disk
        raise


def _load(download: Download, part: Path, progress: Progress, patience: Patience) -> None:
    """Load a download into `part`, going on where an earlier run ended, until it is whole and right."""
    if _is_right(part, download.sha256):
        return
    if download.size is not None and _size(part) >= download.size:
        part.unlink()
    faults: list[_Fault] = []
    while True:
        try:
            _try(download, part, progress, patience)
            return
        except _Fault as fault:
            faults.append(fault)
            if isinstance(fault, _Stale):
                part.unlink(missing_ok=True)
            if not _is_worth_another(faults, patience):
                raise DownloadError(_told(download, part, faults)) from fault
        pause_s = patience.pause_s * 2 ** (len(faults) - 1)
        logger.warning("download %s: %s; trying again in %g s", download.name, faults[-1], pause_s)
        time.sleep(pause_s)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_worth_another(faults: list[_Fault], patience: Patience) -> bool:
    wrong = sum(isinstance(fault, _Wrong) for fault in faults)
    return len(faults) < patience.tries and wrong < 2 and not isinstance(faults[-1], _Refused)


def _told(download: Download, part: Path, faults: list[_Fault]) -> str:
    """One line about a file that could not be had: why, how often it was tried, what is kept, what to do."""
    tried = "tried once" if len(faults) == 1 else f"tried {len(faults)} times"
    told = f"can't download {download.url}: {faults[-1]}; {tried}"
    if isinstance(faults[-1], _Wrong):
        return (
            f"{told}; nothing was kept; try another network, and if it stays so the owner has changed the file: "
            "look for a newer cia-bench, or report it"
        )
    return told + (f"; the {_size(part):,} bytes loaded so far are kept for the next run" if _size(part) else "")


def _try(download: Download, part: Path, progress: Progress, patience: Patience) -> None:
    """Ask for what `part` lacks of a download, add it, and check the whole.

    Raises a _Fault if that fails, OSError if `part` can't be written.
    """
    import requests

    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are then those of the file
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.Session() as session, _answer(session, download.url, headers, patience) as response:
            start, total = _span(response, have)
            total = _agreed(total, download.size)
            label = f"download {download.name}" + (", the rest" if start else "")
            with progress(label, _kilobytes((total or start) - start), "kB") as advance:
                _add(response, part, start, total, advance, patience.read_s)
    except requests.RequestException as error:
        raise _Fault(_reason(error, patience)) from error
    found = sha256_of(part)
    if found != download.sha256:
        raise _Wrong(f"its SHA-256 is {found} where {download.sha256} is expected")


def _answer(session: "requests.Session", url: str, headers: dict[str, str], patience: Patience) -> "requests.Response":
    """The answer of the server where the redirects from `url` end; its body is not read yet."""
    timeout = (patience.connect_s, patience.read_s)
    for _ in range(REDIRECTS + 1):
        try:
            response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
            if not response.is_redirect:
                return response
            url = _redirected(url, response.headers["Location"])
        except ValueError as error:
            raise _Refused(f"it leads to what is no web address: {error}") from error
    raise _Refused(f"it redirects more than {REDIRECTS} times")


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads, which is never from https to something that anyone on the way can change."""
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise _Refused(f"it redirects from https to {target}")
    return target


def _span(response: "requests.Response", have: int) -> tuple[int, int | None]:
    """Where in the file the body starts and how long the file is, in bytes, None if the server does not say.

    A server may answer the wish for the rest, after `have` bytes, with the whole.
    """
    status = response.status_code
    if status == 200:
        length = response.headers.get("Content-Length", "")
        # whoever packs the body although asked not to tells the length of the packed one
        return 0, int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None
    if status == 206:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if said and have and int(said[1]) == have:
            return have, None if said[2] == "*" else int(said[2])
    if status == 206 or (status == 416 and have):
        raise _Stale(f"the server does not go on after {have:,} bytes")
    if status == 429 or status >= 500:
        raise _Fault(f"HTTP {status}")
    raise _Refused(f"HTTP {status}")


def _agreed(total: int | None, size: int | None) -> int | None:
    """The length of a file, in bytes, by what the server says and by what we know."""
    if size is not None and total is not None and total != size:
        raise _Wrong(f"it is {total:,} bytes long where {size:,} are expected")
    if size is None and (total or 0) > UNKNOWN_MAX:
        raise _Refused(f"it is {total:,} bytes long, more than the {UNKNOWN_MAX:,} allowed")
    return total if size is None else size


def _add(
    response: "requests.Response", part: Path, start: int, total: int | None, advance: Advance, read_s: float
) -> None:
    """Write a body that starts after `start` bytes of a file into `part`, up to `total` bytes."""
    from urllib3.exceptions import HTTPError

    done, most = start, UNKNOWN_MAX if total is None else total
    fault = None
    with part.open("ab" if start else "wb") as file:
        try:
            # not iter_content, which drops the last bytes before a break
            for chunk in response.raw.stream(CHUNK, decode_content="Content-Encoding" in response.headers):
                if done + len(chunk) > most:
                    raise _Wrong(f"it goes on after {most:,} bytes")
                file.write(chunk)
                advance(_kilobytes(done + len(chunk) - start) - _kilobytes(done - start))
                done += len(chunk)
        except HTTPError as error:
            fault = error
    if fault is not None and _is_timeout(_root(fault)):
        raise _Fault(f"no answer within {read_s:g} s") from fault
    if fault is not None or (total is not None and done < total):
        raise _Fault(f"ended after {done:,}" + ("" if total is None else f" of {total:,}") + " bytes") from fault


def _kilobytes(count: int) -> int:
    """Bytes as thousands of bytes, the last begun one included."""
    return -(-count // 1000)


def _reason(error: "requests.RequestException", patience: Patience) -> str:
    """Why a server did not answer, in the system's words."""
    import requests

    root = _root(error)
    if _is_timeout(root):
        connecting = isinstance(error, requests.ConnectTimeout)
        return f"no answer within {patience.connect_s if connecting else patience.read_s:g} s"
    host = urlsplit(error.request.url).hostname if error.request is not None else "the server"
    words = str(getattr(root, "strerror", None) or root).strip()
    return f"can't reach {host}: {printable(words[:1].lower() + words[1:])}"


def _root(error: BaseException) -> BaseException:
    """What an error comes from: requests wraps urllib3's, which wraps the system's."""
    while inner := [cause for cause in (error.__cause__, *error.args) if isinstance(cause, BaseException)]:
        error = inner[0]
    return error


def _is_timeout(error: BaseException) -> bool:
    """Whether our own limit ran out; the system's has a number and words of its own."""
    return isinstance(error, TimeoutError) and error.errno is None


def _unzip(download: Download, archive: Path, folder: Path) -> list[str]:
    """Move the wanted members of a zip into `folder`, record their digests there, and return their names."""
    try:
        with zipfile.ZipFile(archive) as opened, whole_files(folder, seal=RECORD) as scratch:
            for member in download.members:
                with opened.open(_find(opened, member)) as inside, (scratch / member).open("wb") as outside:
                    shutil.copyfileobj(inside, outside)  # ends at the declared size and checks the CRC
            members = {member: sha256_of(scratch / member) for member in download.members}
            write_json(scratch / RECORD, {**_read_record(folder), download.sha256: members})
    except (_Refused, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        archive.unlink()
        raise DownloadError(f"can't take {', '.join(download.members)} out of {download.url}: {error}") from error
    archive.unlink()
    return list(members)


def _find(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The one member with a base name; the folders before it are the archive's affair and used for nothing."""
    found = [i for i in archive.infolist() if PurePosixPath(i.filename).name == name and not i.is_dir()]
    if len(found) != 1:
        raise _Refused(f"it holds {len(found)} files named {name} where one is expected")
    if found[0].file_size > MEMBER_MAX:
        raise _Refused(f"{name} in it is {found[0].file_size:,} bytes long, more than the {MEMBER_MAX:,} allowed")
    return found[0]
