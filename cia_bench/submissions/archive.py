"""The zip of a submission: the same bytes for the same files, and proven before anything of it is read.

Its members are stored, not compressed, so that none can be larger than the file, and so that no two versions of a
compressor differ. The arrays of embeddings.npz lie in a zip of the same kind.
"""

import hashlib
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from cia_bench.errors import SubmissionError
from cia_bench.files import stays_inside
from cia_bench.results import PREDICTIONS_FILE, RESULT_FILE

MANIFEST_FILE = "manifest.json"
EMBEDDINGS_FILE = "embeddings.npz"
MEMBERS = {  # the largest size of each, in bytes
    EMBEDDINGS_FILE: 8 << 30,
    MANIFEST_FILE: 64 << 10,
    PREDICTIONS_FILE: 256 << 20,
    RESULT_FILE: 16 << 20,
}
OPTIONAL = {EMBEDDINGS_FILE}
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of a zip's calendar
MODE = stat.S_IFREG | 0o644
UNIX = 3  # the system that modes are of, as a zip numbers it
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: of the old kind, strong, and of the list of members
HEADER = 30  # bytes before a member's content, at least


def write_zip(path: Path, files: Mapping[str, Path]) -> None:
    """Write files as members of a zip, by the members' names. Raises OSError."""
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, file in sorted(files.items()):
            member = ZipInfo(name, FIRST_DAY)
            member.external_attr, member.create_system = MODE << 16, UNIX
            with file.open("rb") as inside, archive.open(member, "w", force_zip64=True) as outside:
                shutil.copyfileobj(inside, outside, 1 << 20)


@contextmanager
def open_zip(
    file: Path | IO[bytes], place: str, members: Mapping[str, int] = MEMBERS, optional: set[str] = OPTIONAL
) -> Iterator[ZipFile]:
    """Open a zip that holds plain files of these names and largest sizes, and nothing else.

    Raises SubmissionError that says what it is instead; `place` is what to call it.
    """
    try:
        archive = ZipFile(file)
    except FileNotFoundError as error:
        raise SubmissionError(f"{place} does not exist") from error
    except PermissionError:
        raise
    except Exception as error:  # damaged headers make zipfile raise nearly anything
        raise SubmissionError(f"{place} can't be read as a zip: {error}") from error
    with archive:
        _prove(archive, place, members, optional)
        yield archive


def _prove(archive: ZipFile, place: str, members: Mapping[str, int], optional: set[str]) -> None:
    found = archive.infolist()
    for info in found:
        problem = _problem(info, members)
        if problem:
            raise SubmissionError(f"{place}: member {info.orig_filename[:100]!r} {problem}")
    names = [info.filename for info in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SubmissionError(f"{place} has member {twice[0]!r} {names.count(twice[0])} times")
    missing = sorted(members.keys() - optional - set(names))
    if missing:
        raise SubmissionError(f"{place} lacks {', '.join(missing)}; cia submission pack makes a whole one")
    in_order = sorted(found, key=lambda info: info.header_offset)
    ends = [info.header_offset + HEADER + info.file_size for info in in_order]
    starts = [*(info.header_offset for info in in_order[1:]), archive.start_dir]
    for info, end, start in zip(in_order, ends, starts, strict=True):
        if end > start:
            raise SubmissionError(f"{place}: member {info.filename!r} reaches into what follows it")


def _problem(info: ZipInfo, members: Mapping[str, int]) -> str | None:
    """What keeps a member from being one of `members`, or None."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if not stays_inside(name):
        return "is no path inside the archive"
    if kind not in (0, stat.S_IFREG):
        called = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}.get(kind, "a device or the like")
        return f"is {called}, not a plain file"
    if name not in members:
        return f"does not belong there; it may hold {', '.join(members)}"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type != ZIP_STORED:
        return f"is compressed ({info.compress_size:,} bytes for {info.file_size:,}); cia submission pack stores it"
    if info.file_size != info.compress_size:
        return f"declares {info.file_size:,} bytes and holds {info.compress_size:,}"
    if info.file_size > members[name]:
        return f"has {info.file_size:,} bytes, more than the {members[name]:,} allowed"
    return None


@contextmanager
def open_member(archive: ZipFile, name: str, place: str) -> Iterator[IO[bytes]]:
    """Open a member of a proven zip; reading never gives more than its declared size.

    Raises SubmissionError if it is damaged, whenever that shows.
    """
    try:
        with archive.open(name) as member:
            yield member
    except SubmissionError:
        raise
    except Exception as error:  # a header, a checksum or an end that is not as declared: each has its own
        raise SubmissionError(f"{place}: {name} is damaged: {error}") from error


def read_member(archive: ZipFile, name: str, place: str) -> bytes:
    with open_member(archive, name, place) as member:
        return member.read(archive.getinfo(name).file_size + 1)


def digest_of(archive: ZipFile, name: str, place: str) -> str:
    """SHA-256 of a member's content, in hexadecimal."""
    with open_member(archive, name, place) as member:
        return hashlib.file_digest(member, "sha256").hexdigest()
