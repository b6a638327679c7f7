"""The journals of verdicts: one line of JSON a verdict, only ever appended to.

A line has the fields of `Verdict`. The digest says what the reviewer saw: of a group its source, phrases, noun and
lexicon row, of a clip its own row. What the lines come to, decisions.py says.
"""

import getpass
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from cia_bench.errors import ConfigError, JournalError, WriteError
from cia_bench.files import locked_file

logger = logging.getLogger(__name__)

DECISIONS = ("accept", "reject", "unsure")
VERDICTS = (*DECISIONS, "swap", "drop", "final", "comment", "retract")
BASES = ("text", "video")
GROUP_DIGEST = ("source", "forward", "reverse", "noun", "lexicon_row")
CLIP_DIGEST = ("clip_id", "video", "start_s", "stop_s", "verb", "noun", "text")
CUT_OFF = ".cut-off"  # ends the name of the file of set-aside lines
SHIPPED = "cia-bench"  # the reviewer of the shipped journals: whoever else decides on a group overrules it


@dataclass(frozen=True)
class Verdict:
    """What one reviewer said once of a group, or of a clip in it."""

    group_id: str
    verdict: str  # one of VERDICTS; swap turns the labels round, retract takes back the reviewer's line before on it
    reviewer: str
    time: str  # ISO 8601
    basis: str  # text, or video if clips were looked at
    digest: str
    reason: str = ""
    clip_id: str | None = None  # of a drop, which leaves one clip out
    decision: str | None = None  # of a final: accept or reject, whatever the others say

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise JournalError(f"verdict is {self.verdict!r}; choose from {', '.join(VERDICTS)}")
        if self.basis not in BASES:
            raise JournalError(f"basis is {self.basis!r}; choose from {', '.join(BASES)}")
        try:
            datetime.fromisoformat(self.time)
        except ValueError:
            raise JournalError(f"time is {self.time!r}; write it like 2026-11-25T09:30:00Z") from None
        if (self.verdict == "final") != (self.decision is not None) or self.decision not in (None, "accept", "reject"):
            raise JournalError(f"decision is {self.decision!r}; a final says accept or reject, no other verdict does")
        if (self.verdict == "drop") != (self.clip_id is not None):
            raise JournalError(f"clip_id is {self.clip_id!r}; a drop names the clip it leaves out, nothing else does")
        if self.verdict == "comment" and not self.reason:
            raise JournalError("reason is empty; it holds what a comment says")

    def line(self) -> bytes:
        """The verdict as a line of a journal, without the fields that it leaves empty."""
        fields = {name: value for name, value in asdict(self).items() if name in REQUIRED or value}
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


REQUIRED = ("group_id", "verdict", "reviewer", "time", "basis", "digest")
OPTIONAL = ("reason", "clip_id", "decision")


def now() -> str:
    """The time as a verdict has it: in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def group_digest(candidate) -> str:
    """The digest of a candidate (a row of tables.CANDIDATES, as a named tuple or a Series)."""
    return _digest([getattr(candidate, name) for name in GROUP_DIGEST])


def clip_digest(clip) -> str:
    """The digest of a clip (a row of tables.CLIPS)."""
    values = [getattr(clip, name) for name in CLIP_DIGEST]
    return _digest([None if value != value else value for value in values])


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()[:16]


def journal_path(data: Path, source: str, verdicts: Path | None = None) -> Path:
    """The journal of a user's own verdicts on a source: `verdicts`, else DATA/verdicts/<source>.jsonl."""
    return verdicts or data / "verdicts" / f"{source}.jsonl"


def reviewer_name(given: str | None = None) -> str:
    """Who decides: `given`, else the name of who is logged in.

    Raises ConfigError for the name of the shipped journals, an empty one, or if nobody's name is known.
    """
    try:
        name = getpass.getuser() if given is None else given
    except (OSError, KeyError) as error:
        raise ConfigError("this system does not tell who you are; give --reviewer NAME") from error
    if name == SHIPPED or not name.strip() or not name.isprintable():
        raise ConfigError(f"reviewer is {name!r}; give --reviewer NAME, a printable one other than {SHIPPED}")
    return name


def read_journal(path: Path, source: str | None = None, skip_bad_rows: bool = False) -> list[Verdict]:
    """Read a journal, its lines in order. A last line that was cut off while it was written is left out with a warning.

    A last line that lacks only its end of line is read. With `skip_bad_rows` other broken lines are left out likewise.

    Raises JournalError that names the line if one is no verdict, or not on a group of `source`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    return parse_journal(content, str(path), source, skip_bad_rows)


def parse_journal(content: bytes, name: str, source: str | None = None, skip_bad_rows: bool = False) -> list[Verdict]:
    """The verdicts in a journal's bytes, as read_journal does; `name` is for messages."""
    *lines, rest = content.split(b"\n")
    if _is_whole(rest):
        lines.append(rest)
    elif rest:
        logger.warning("%s: the last line is cut off and was left out", name)
    verdicts = []
    for number, line in enumerate(lines, start=1):
        try:
            verdicts.append(_parse_line(line))
        except (ValueError, RecursionError, JournalError) as error:
            told = f"{name} line {number} is no verdict: {error}"
            if not skip_bad_rows:
                raise JournalError(f"{told}; mend it, or leave it out with --skip-bad-rows") from error
            logger.warning("%s; it was left out", told)
            continue
        if source is not None and not verdicts[-1].group_id.startswith(f"{source}/"):
            raise JournalError(f"{name} line {number} is on {verdicts[-1].group_id}, which is no group of {source}")
    return verdicts


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end is all of it."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def append(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Add verdicts to a journal: when this returns they are on the disk, all of them, after those of other processes.

    A last line that was cut off is set aside first (see mend). Raises WriteError if they can't be written; then the
    journal is as it was.
    """
    with _opened(path) as handle:
        _mend(handle, path)
        end = os.fstat(handle).st_size
        try:
            _write(handle, b"".join(verdict.line() for verdict in verdicts))
        except OSError:
            os.ftruncate(handle, end)
            raise


def mend(path: Path) -> bool:
    """Set a last line aside, into <path>.cut-off, that was cut off while it was written; whether there was one.

    Raises WriteError if there is one and it can't be written. A journal that is whole is only read.
    """
    try:
        rest = path.read_bytes().rpartition(b"\n")[2]
    except OSError:
        return False  # of what can't be read, reading tells
    if not rest or _is_whole(rest):
        return False
    with _opened(path) as handle:
        return _mend(handle, path)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A journal open for adding, which no other process has open so meanwhile; new folders and files reach the disk."""
    try:
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked_file(path) as handle:
            yield handle
        if is_new:
            _sync_folder(path.parent)
    except OSError as error:
        raise WriteError(f"can't write to {path}: {error.strerror or error}") from error


def _mend(handle: int, path: Path) -> bool:
    """Make the journal end with a whole line; whether one that was cut off had to be set aside."""
    if _ends_with_a_line(handle):
        return False
    content = path.read_bytes()
    rest = content.rpartition(b"\n")[2]
    if _is_whole(rest):
        _write(handle, b"\n")
        return False
    with path.with_name(path.name + CUT_OFF).open("ab") as aside:
        aside.write(rest + b"\n")
        aside.flush()
        os.fsync(aside.fileno())
    os.ftruncate(handle, len(content) - len(rest))
    logger.warning("%s: the last line was cut off; it was set aside into %s%s", path, path.name, CUT_OFF)
    return True


def _ends_with_a_line(handle: int) -> bool:
    """Whether there is nothing after the last end of a line: asked before each verdict, without reading all of them."""
    if not os.fstat(handle).st_size:
        return True
    os.lseek(handle, -1, os.SEEK_END)
    return os.read(handle, 1) == b"\n"


def _write(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    """So that a new file's name survives a power cut too; where a folder can't be synced, never mind."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        return


def _parse_line(line: bytes) -> Verdict:
    fields = json.loads(line.decode("utf-8"))
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    unknown = sorted(set(fields) - set(REQUIRED) - set(OPTIONAL))
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}")
    wrong = [
        name for name, value in fields.items() if not (isinstance(value, str) or (value is None and name in OPTIONAL))
    ]
    if wrong:
        raise ValueError(f"{wrong[0]} is {fields[wrong[0]]!r}, not text")
    json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair, escaped, is no text either
    return Verdict(**fields)


def read_shipped(source: str) -> tuple[list[Verdict], str | None]:
    """The verdicts on a source that ship with cia-bench, and the SHA-256 of their journal; none for other sources."""
    journal = files("cia_bench.annotations").joinpath(f"{source}.jsonl")
    if not journal.is_file():
        return [], None
    content = journal.read_bytes()
    return parse_journal(content, f"annotations/{source}.jsonl"), hashlib.sha256(content).hexdigest()
