"""The journals of verdicts: one line of JSON a verdict, only ever appended to, and what they decide together.

A line has the fields of `Verdict`. The digest says what the reviewer saw: of a group its source, phrases, noun and
lexicon row, of a clip its own row. A verdict whose digest no longer fits is stale: it is told and never applied. A
retract takes back its reviewer's line before on the same group, whatever the digests of both, and neither is told.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pandas as pd

from cia_bench.errors import JournalError

logger = logging.getLogger(__name__)

DECISIONS = ("accept", "reject", "unsure")
VERDICTS = (*DECISIONS, "swap", "drop", "final", "retract")
BASES = ("text", "video")
GROUP_DIGEST = ("source", "forward", "reverse", "noun", "lexicon_row")
CLIP_DIGEST = ("clip_id", "video", "start_s", "stop_s", "verb", "noun", "text")
SHIPPED = "cia-bench"  # the reviewer of the shipped journals: whoever else decides on a group overrules it


@dataclass(frozen=True)
class Verdict:
    """What one reviewer said once of a group, or of a clip in it."""

    group_id: str
    verdict: str  # one of VERDICTS; swap turns the labels round, retract takes back the reviewer's line before
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


REQUIRED = ("group_id", "verdict", "reviewer", "time", "basis", "digest")
OPTIONAL = ("reason", "clip_id", "decision")


def group_digest(candidate) -> str:
    """The digest of a candidate (a row of tables.CANDIDATES, as a named tuple or a Series)."""
    return _digest([getattr(candidate, name) for name in GROUP_DIGEST])


def clip_digest(clip) -> str:
    """The digest of a clip (a row of tables.CLIPS)."""
    values = [getattr(clip, name) for name in CLIP_DIGEST]
    return _digest([None if value != value else value for value in values])


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()[:16]


def read_journal(path: Path) -> list[Verdict]:
    """Read a journal, its lines in order. A last line that was cut off while it was written is left out with a warning.

    A last line that lacks only its end of line is read.

    Raises JournalError that names the line if one is no verdict.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}") from error
    return parse_journal(content, str(path))


def parse_journal(content: bytes, name: str) -> list[Verdict]:
    """The verdicts in a journal's bytes, as read_journal does; `name` is for messages."""
    *lines, rest = content.split(b"\n")
    if rest:
        try:
            json.loads(rest)
            lines.append(rest)
        except (ValueError, RecursionError):
            logger.warning("%s: the last line is cut off and was left out", name)
    verdicts = []
    for number, line in enumerate(lines, start=1):
        try:
            verdicts.append(_parse_line(line))
        except (ValueError, RecursionError, JournalError) as error:
            raise JournalError(f"{name} line {number} is no verdict: {error}") from error
    return verdicts


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


@dataclass
class Decision:
    """What all verdicts on one group come to."""

    status: str  # accept, reject, unsure, conflict, or none
    basis: str = "text"  # video if who decided looked at clips
    swap: bool = False
    dropped: list[str] = field(default_factory=list)  # clip ids


@dataclass(frozen=True)
class Decisions:
    """What the journals decide for candidates, and what of them could not be applied."""

    groups: dict[str, Decision]  # by group_id, of all candidates
    stale: list[Verdict]  # the digest no longer fits
    unknown: list[Verdict]  # of a group, or a clip in it, that is no candidate here


def decide(
    candidates: pd.DataFrame, clips: pd.DataFrame, shipped: Iterable[Verdict], own: Iterable[Verdict]
) -> Decisions:
    """Settle each candidate by the last word of each reviewer.

    `clips` needs the rows of dropped clips only (see dropped_clips). Reviewers whose last words differ are in conflict,
    unless a final settles it. Of a group on which somebody else has decided, shipped verdicts do not count.
    """
    digests = {row.group_id: group_digest(row) for row in candidates.itertuples()}
    of_clips = {(row.group_id, row.clip_id): clip_digest(row) for row in clips.itertuples()}
    valid: dict[str, list[Verdict]] = {}
    stale, unknown = [], []
    for verdict in _standing([*shipped, *own]):
        known = of_clips if verdict.clip_id is not None else digests
        key = (verdict.group_id, verdict.clip_id) if verdict.clip_id is not None else verdict.group_id
        if key not in known:
            unknown.append(verdict)
        elif known[key] != verdict.digest:
            stale.append(verdict)
        else:
            valid.setdefault(verdict.group_id, []).append(verdict)
    return Decisions({group_id: _settle(valid.get(group_id, [])) for group_id in digests}, stale, unknown)


def dropped_clips(verdicts: Iterable[Verdict]) -> set[tuple[str, str]]:
    """The group and clip of each drop."""
    return {(verdict.group_id, verdict.clip_id) for verdict in verdicts if verdict.clip_id is not None}


def _standing(lines: Sequence[Verdict]) -> list[Verdict]:
    """The lines, in order, without those that their reviewer took back and without the retracts."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, line in enumerate(lines):
        standing = places.setdefault((line.group_id, line.reviewer), [])
        if line.verdict != "retract":
            standing.append(place)
        elif standing:
            standing.pop()
    return [lines[place] for place in sorted(place for standing in places.values() for place in standing)]


def _settle(lines: Sequence[Verdict]) -> Decision:
    """What the standing lines on one group come to."""
    if any(line.reviewer != SHIPPED and line.verdict in (*DECISIONS, "final") for line in lines):
        lines = [line for line in lines if line.reviewer != SHIPPED]
    words = {line.reviewer: line for line in lines if line.verdict in DECISIONS}  # the last of each
    dropped = sorted({line.clip_id for line in lines if line.verdict == "drop"})
    final = next((line for line in reversed(lines) if line.verdict == "final"), None)
    if final:
        return Decision(final.decision, final.basis, _is_swapped(lines, final.reviewer), dropped)
    statuses = {word.verdict for word in words.values()}
    swaps = _swaps(lines, words)
    basis = "video" if any(word.basis == "video" for word in words.values()) else "text"
    if len(statuses) > 1 or len(swaps) > 1:
        return Decision("conflict", basis, dropped=dropped)
    return Decision(statuses.pop() if statuses else "none", basis, True in swaps, dropped)


def _swaps(lines: Sequence[Verdict], decided: Iterable[str]) -> set[bool]:
    """Whether the labels are turned round by those who decided or swapped: both if they differ.

    Somebody's swap of a group on which only the shipped journal decides is no conflict with it.
    """
    swaps = {line.reviewer: _is_swapped(lines, line.reviewer) for line in lines}
    swaps = {reviewer: is_swapped for reviewer, is_swapped in swaps.items() if is_swapped or reviewer in decided}
    if len(swaps) > 1:
        swaps.pop(SHIPPED, None)
    return set(swaps.values())


def _is_swapped(lines: Sequence[Verdict], reviewer: str) -> bool:
    return sum(line.reviewer == reviewer and line.verdict == "swap" for line in lines) % 2 == 1
