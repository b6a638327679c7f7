"""What the lines of journals come to: by reviewer, and of all together.

A verdict whose digest no longer fits is stale: it is told and never applied. A retract takes back its reviewer's line
before on the same group, whatever the digests of both, and neither is told. A comment decides nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from cia_bench.review.journal import DECISIONS, SHIPPED, Verdict, clip_digest, group_digest


class Standing:
    """The lines that nobody took back, kept up to date line by line."""

    def __init__(self, lines: Iterable[Verdict] = ()):
        self._lines: dict[int, Verdict] = {}  # by their number, in order
        self._stacks: dict[str, dict[str, list[int]]] = {}  # by group and reviewer
        self._count = 0
        for line in lines:
            self.add(line)

    def add(self, line: Verdict) -> None:
        """Take in one more line."""
        stack = self._stacks.setdefault(line.group_id, {}).setdefault(line.reviewer, [])
        if line.verdict != "retract":
            stack.append(self._count)
            self._lines[self._count] = line
            self._count += 1
        elif stack:
            del self._lines[stack.pop()]

    def all(self) -> list[Verdict]:
        """The lines in order."""
        return list(self._lines.values())

    def on(self, group_id: str) -> list[Verdict]:
        """The lines on a group in order."""
        numbers = sorted(number for stack in self._stacks.get(group_id, {}).values() for number in stack)
        return [self._lines[number] for number in numbers]

    def last_of(self, reviewer: str) -> Verdict | None:
        """A reviewer's last line, on whatever group."""
        return next((line for line in reversed(self._lines.values()) if line.reviewer == reviewer), None)


@dataclass(frozen=True)
class Word:
    """What one reviewer's standing lines on a group come to."""

    decision: str | None = None  # accept, reject or unsure, by a final too; None before there is one
    reason: str = ""
    is_swapped: bool = False
    dropped: frozenset[str] = frozenset()  # clip ids
    comments: tuple[str, ...] = ()
    is_final: bool = False  # the decision settles a conflict


def word_of(lines: Iterable[Verdict], reviewer: str) -> Word:
    """What the standing lines of one reviewer on one group come to."""
    own = [line for line in lines if line.reviewer == reviewer]
    last = next((line for line in reversed(own) if line.verdict in (*DECISIONS, "final")), None)
    return Word(
        decision=last and (last.decision or last.verdict),
        reason=last.reason if last else "",
        is_swapped=_is_swapped(own, reviewer),
        dropped=frozenset(line.clip_id for line in own if line.clip_id is not None),
        comments=tuple(line.reason for line in own if line.verdict == "comment"),
        is_final=last is not None and last.verdict == "final",
    )


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
    for verdict in Standing([*shipped, *own]).all():
        known = of_clips if verdict.clip_id is not None else digests
        key = (verdict.group_id, verdict.clip_id) if verdict.clip_id is not None else verdict.group_id
        if key not in known:
            unknown.append(verdict)
        elif known[key] != verdict.digest:
            stale.append(verdict)
        else:
            valid.setdefault(verdict.group_id, []).append(verdict)
    return Decisions({group_id: settle(valid.get(group_id, [])) for group_id in digests}, stale, unknown)


def dropped_clips(verdicts: Iterable[Verdict]) -> set[tuple[str, str]]:
    """The group and clip of each drop."""
    return {(verdict.group_id, verdict.clip_id) for verdict in verdicts if verdict.clip_id is not None}


def settle(lines: Sequence[Verdict]) -> Decision:
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
