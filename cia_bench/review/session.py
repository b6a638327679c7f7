"""A review without a screen: the queue of candidates, what its reviewer says of them, and where they are.

A decision is on the disk when `decide` returns, or else it is pending and `problem` says why.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from cia_bench.errors import BuildError, ConfigError, JournalError, WriteError, some
from cia_bench.files import folder_name, read_json, whole_file, write_json
from cia_bench.review.decisions import Standing, Word, settle, word_of
from cia_bench.review.journal import (
    Verdict,
    append,
    clip_digest,
    group_digest,
    journal_path,
    mend,
    now,
    read_journal,
    read_shipped,
    reviewer_name,
)
from cia_bench.review.reviewed import reviewed_sources
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES, COUNTS

ORDERS = ("risk", "size", "random", "disagreement")
FILTERS = ("to do", "decided", "conflict", "all")
SAMPLE = 12  # clips of a side that are shown at once
CLIPS_KEPT = 64  # groups whose clips stay in memory


@dataclass(frozen=True)
class Item:
    """A candidate in the queue."""

    group_id: str
    source: str
    forward: str
    reverse: str
    noun: str
    lexicon_row: str
    published_id: str | None
    hazards: tuple[str, ...]
    risk: float
    counts: dict[str, int]  # by the names of tables.COUNTS
    digest: str

    @property
    def clips(self) -> int:
        return sum(self.counts.values())

    def text(self) -> str:
        """What a search looks in."""
        return " ".join([self.group_id, self.forward, self.reverse, self.noun, *self.hazards]).casefold()


@dataclass(frozen=True)
class Progress:
    """How far a review is."""

    decided: int  # candidates with a decision of this reviewer
    total: int
    now: int  # decisions in this session
    elapsed_s: float

    @property
    def per_hour(self) -> float:
        return 3600 * self.now / self.elapsed_s if self.elapsed_s else 0.0


class Session:
    """One reviewer's way through the candidates of a data folder."""

    def __init__(
        self,
        data: Path,
        sources: Sequence[str] = (),
        verdicts: Path | None = None,
        reviewer: str | None = None,
        order: str = "risk",
        clip_ids: Sequence[str] | None = None,
        skip_bad_rows: bool = False,
    ):
        """Open the queue of what is ready for review, in an order of ORDERS; with `clip_ids` that of their groups.

        Raises BuildError, TableError, JournalError or ConfigError for what can't be read or makes no sense.
        """
        if order not in ORDERS:
            raise ConfigError(f"unknown order {order!r}; choose from {', '.join(ORDERS)}")
        self.data, self.order, self.reviewer = data, order, reviewer_name(reviewer)
        self.sources = reviewed_sources(data, sources, verdicts)
        self.journals = {source: journal_path(data, source, verdicts) for source in self.sources}
        self.skip_bad_rows = skip_bad_rows
        self.listed = None if clip_ids is None else self._clips_listed(clip_ids)
        self.notes = [note for path in self.journals.values() if (note := _mended(path))]  # to be told
        self.pending: list[Verdict] = []  # said, but not on the disk
        self.problem: str | None = None  # why they are not
        self._read_journals()
        self.items = self._items()
        self._by_id = {item.group_id: item for item in self.items}
        self._done: set[str] = set()  # of the candidates in the queue, those that are done
        self._note_done(self._by_id)
        self.filter = "all" if clip_ids is not None else "conflict" if self.settles else "to do"
        self.searched = ""
        self.shown: list[Item] = []
        self.position = 0
        self._seen: set[str] = set()
        self._started, self._now = time.monotonic(), 0
        self.clips = lru_cache(CLIPS_KEPT)(self._read_clips)
        self._show(self._place())
        self.notes += self._left_out()

    # what there is

    @property
    def settles(self) -> bool:
        """Whether a decision is a final, which settles a conflict."""
        return self.order == "disagreement"

    @property
    def current(self) -> Item | None:
        """The candidate that the reviewer is at; None if none is shown."""
        return self.shown[self.position] if self.shown else None

    def lines(self, item: Item) -> list[Verdict]:
        """The standing lines of all reviewers on a candidate as it is now, pending ones too."""
        lines = self._standing.on(item.group_id)
        return [line for line in lines if line.clip_id is not None or line.digest == item.digest]

    def word(self, item: Item) -> Word:
        """What this reviewer says of a candidate."""
        return word_of(self.lines(item), self.reviewer)

    def status(self, item: Item) -> str:
        """What all say of it: accept, reject, unsure, conflict, or none."""
        return settle(self.lines(item)).status

    def sides(self, item: Item) -> tuple[str, str]:
        """The phrases of label 1 and of label 0, as this reviewer has turned them."""
        return (item.reverse, item.forward) if self.word(item).is_swapped else (item.forward, item.reverse)

    def sample(self, item: Item, label: int, page: int = 0) -> pd.DataFrame:
        """Up to SAMPLE clips of a label, as this reviewer has turned them: rows of tables.CANDIDATE_CLIPS, mixed.

        Page after page gives others, and the first again after the last. Of a review of listed clips only those.
        """
        own = self._of_label(item, label)
        return own.iloc[_first(page, len(own)) :][:SAMPLE]

    def places(self, item: Item, label: int, page: int) -> tuple[int, int]:
        """The number of a page's first clip, from 0 on, and how many clips the label has."""
        count = len(self._of_label(item, label))
        return _first(page, count), count

    def _of_label(self, item: Item, label: int) -> pd.DataFrame:
        clips = self.clips(item.group_id)
        return clips[clips.label == (1 - label if self.word(item).is_swapped else label)]

    def progress(self) -> Progress:
        """How far this review is."""
        return Progress(len(self._done), len(self.items), self._now, time.monotonic() - self._started)

    # moving

    def go(self, position: int) -> None:
        """Move to a place of what is shown, or the nearest."""
        self.position = max(0, min(position, len(self.shown) - 1))

    def advance(self) -> bool:
        """Move to the next candidate that is to do, from the start again after the end; whether there is one."""
        count = len(self.shown)
        for step in range(1, count + 1):
            place = (self.position + step) % count
            if not self._is_done(self.shown[place]):
                self.position = place
                return True
        return False

    def show(self, kind: str) -> None:
        """Show only the candidates of a kind of FILTERS."""
        if kind not in FILTERS:
            raise ConfigError(f"unknown filter {kind!r}; choose from {', '.join(FILTERS)}")
        self.filter = kind
        self._show(self.current and self.current.group_id)

    def search(self, text: str) -> None:
        """Show only the candidates whose id, phrases, noun or hazards hold each word of `text`."""
        self.searched = text
        self._show(self.current and self.current.group_id)

    def saw_video(self, item: Item) -> None:
        """Note that clips of it were looked at: what is said of it from now on has basis video."""
        self._seen.add(item.group_id)

    # deciding

    def decide(self, decision: str, reason: str = "") -> bool:
        """Accept, reject or be unsure of the current candidate; in the order `disagreement` as a final.

        Whether it is on the disk. Raises ConfigError for a final that is no accept or reject.
        """
        if not self.settles:
            return self._say(decision, reason=reason, counts=True)
        if decision not in ("accept", "reject"):
            raise ConfigError("a conflict is settled by accept or reject")
        return self._say("final", reason=reason, decision=decision, counts=True)

    def swap(self) -> bool:
        """Turn the labels of the current candidate round; whether that is on the disk."""
        return self._say("swap")

    def comment(self, text: str) -> bool:
        """Keep a comment on the current candidate; whether it is on the disk."""
        return self._say("comment", reason=text)

    def drop(self, clip_id: str, reason: str = "") -> bool:
        """Leave one clip out of the current candidate; whether that is on the disk.

        Raises ConfigError if this reviewer has dropped it already.
        """
        if clip_id in self.word(self.current).dropped:
            raise ConfigError(f"{clip_id} is dropped already")
        clips = self.clips(self.current.group_id)
        digest = clip_digest(clips[clips.clip_id == clip_id].iloc[0])
        return self._say("drop", reason=reason, clip_id=clip_id, digest=digest)

    def undo(self) -> Verdict | None:
        """Take back this reviewer's last standing line and go to its candidate; what was taken back, None if nothing.

        What is pending is taken back first, and leaves no trace. If the retract can't be written, nothing is taken back
        and `problem` says why.
        """
        if self.pending:
            taken = self.pending.pop()
            self._standing.add(_retract(taken))
            self.problem = self.problem if self.pending else None
        else:
            self._refresh()
            taken = self._standing.last_of(self.reviewer)
            if taken is None or not self._put(_retract(taken)):
                return None
            self._standing.add(_retract(taken))
        self._note_done([taken.group_id])
        if taken.verdict in ("accept", "reject", "unsure", "final"):
            self._now = max(0, self._now - 1)
        self._go_to(taken.group_id)
        return taken

    def flush(self) -> bool:
        """Try again to write what is pending; whether all is on the disk."""
        while self.pending:
            if not self._put(self.pending[0]):
                return False
            self.pending.pop(0)
        return True

    def close(self) -> None:
        """Keep the place for the next session."""
        place = {"group_id": self.current.group_id if self.current else "", "order": self.order}
        try:
            self._place_file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._place_file) as part:
                write_json(part, place)
        except OSError:
            return  # only a place is lost

    # within

    def _say(self, verdict: str, digest: str | None = None, counts: bool = False, **more) -> bool:
        item = self.current
        if item is None:
            raise ConfigError("no candidate is shown to decide on")
        basis = "video" if item.group_id in self._seen else "text"
        line = Verdict(item.group_id, verdict, self.reviewer, now(), basis, digest or item.digest, **more)
        self._now += counts
        saved = self._write(line)
        self.close()
        return saved

    def _write(self, line: Verdict) -> bool:
        """Put a line after those that are pending and write them all."""
        self._refresh()
        self.pending.append(line)
        self._standing.add(line)
        self._note_done([line.group_id])
        return self.flush()

    def _put(self, line: Verdict) -> bool:
        """Append a line to its journal; whether it is on the disk."""
        source = line.group_id.partition("/")[0]
        try:
            append(self.journals[source], [line])
        except WriteError as error:
            self.problem = str(error)
            return False
        self._sizes[source] += len(line.line())
        self.problem = None
        return True

    def _refresh(self) -> None:
        """Read the journals again if somebody else has written to them."""
        if any(_size(path) != self._sizes[source] for source, path in self.journals.items()):
            self._reread()

    def _reread(self) -> None:
        """Read the journals again; if one can't be read now, what was read before stays, and a note says why."""
        try:
            self._read_journals()
        except JournalError as error:
            self.notes.append(str(error))
            return
        for line in self.pending:
            self._standing.add(line)
        self._note_done(self._by_id)

    def _read_journals(self) -> None:
        lines, self._sizes = [], {source: _size(path) for source, path in self.journals.items()}
        for source, path in self.journals.items():
            lines += read_shipped(source)[0]
            lines += read_journal(path, source, self.skip_bad_rows) if path.exists() else []
        self._standing = Standing(lines)

    def _items(self) -> list[Item]:
        frames = [CANDIDATES.read(self.data / source / "candidates.parquet") for source in self.sources]
        rows = [row for frame in frames for row in frame.itertuples()]
        items = {row.group_id: _item(row) for row in rows}
        self._digests = {group_id: item.digest for group_id, item in items.items()}
        wanted = {row.group_id for row in rows if _is_reviewable(row)} if self.listed is None else self.listed.keys()
        items = sorted((item for item in items.values() if item.group_id in wanted), key=self._rank)
        return [item for item in items if self.status(item) == "conflict"] if self.settles else items

    def _rank(self, item: Item) -> tuple:
        """The place of a candidate in the order: the riskiest, or the largest, first."""
        if self.order == "random":
            return (hashlib.sha256(f"{self.reviewer} {item.group_id}".encode()).digest(),)
        return (-item.clips if self.order == "size" else -item.risk, item.group_id)

    def _is_done(self, item: Item) -> bool:
        return item.group_id in self._done

    def _note_done(self, group_ids: Iterable[str]) -> None:
        """Keep which candidates are done: to ask thousands of them anew is too slow for a screen."""
        for item in (self._by_id[group_id] for group_id in group_ids if group_id in self._by_id):
            word = self.word(item)
            is_done = word.is_final if self.settles else word.decision is not None
            (self._done.add if is_done else self._done.discard)(item.group_id)

    def _show(self, group_id: str | None) -> None:
        """Show what filter and search let through, at a candidate if it is there, else at the first to do."""
        words = self.searched.casefold().split()
        tests = {
            "to do": lambda item: not self._is_done(item),
            "decided": self._is_done,
            "conflict": lambda item: self.status(item) == "conflict",
            "all": lambda item: True,
        }
        test = tests[self.filter]
        self.shown = [item for item in self.items if test(item) and all(word in item.text() for word in words)]
        places = {item.group_id: place for place, item in enumerate(self.shown)}
        to_do = next((place for place, item in enumerate(self.shown) if not self._is_done(item)), 0)
        self.position = places.get(group_id, to_do)

    def _go_to(self, group_id: str) -> None:
        if group_id in self._by_id and not any(item.group_id == group_id for item in self.shown):
            self.filter, self.searched = "all", ""
        self._show(group_id)

    def _left_out(self) -> list[str]:
        """What of this reviewer's own lines no longer counts, in a line each."""
        own = [line for line in self._standing.all() if line.reviewer == self.reviewer and line.clip_id is None]
        known = self._digests
        gone = sorted({line.group_id for line in own if line.group_id not in known})
        stale = sorted({line.group_id for line in own if known.get(line.group_id, line.digest) != line.digest})
        notes = [f"verdicts on what is no candidate now: {some(gone)}"] if gone else []
        return notes + ([f"verdicts on what has changed since, to be given again: {some(stale)}"] if stale else [])

    def _read_clips(self, group_id: str) -> pd.DataFrame:
        """The clips of a candidate, those of listed clips only if there is a list, mixed in an order of their own."""
        path = _clips_path(self.data, group_id.partition("/")[0])
        clips = CANDIDATE_CLIPS.read_where(path, "group_id", [group_id])
        if self.listed is not None:
            clips = clips[clips.clip_id.isin(self.listed[group_id])]
        mixed = clips.clip_id.map(lambda clip_id: hashlib.sha256(clip_id.encode()).digest())
        return clips.loc[mixed.sort_values().index].reset_index(drop=True)

    def _clips_listed(self, clip_ids: Sequence[str]) -> dict[str, set[str]]:
        """The listed clips of each candidate that holds one."""
        listed: dict[str, set[str]] = {}
        found = set()
        for source in self.sources:
            clips = CANDIDATE_CLIPS.read_where(_clips_path(self.data, source), "clip_id", list(clip_ids))
            found |= set(clips.clip_id)
            for group_id, part in clips.groupby("group_id"):
                listed[group_id] = set(part.clip_id)
        lost = [clip_id for clip_id in dict.fromkeys(clip_ids) if clip_id not in found]
        if lost or not listed:
            raise ConfigError(f"no candidate in {self.data} has the clip {some(lost)}" if lost else "no clip is listed")
        return listed

    @property
    def _place_file(self) -> Path:
        return self.data / "verdicts" / f".place-{folder_name(self.reviewer)}.json"

    def _place(self) -> str | None:
        try:
            place = read_json(self._place_file, {"group_id": str, "order": str})
        except ValueError:
            return None
        return place["group_id"] if place["order"] == self.order else None


def _mended(path: Path) -> str | None:
    """Set a cut-off last line of a journal aside, and say so, or why not: what can be read can be looked at."""
    try:
        return f"{path}: a cut-off last line was set aside" if mend(path) else None
    except WriteError as error:
        return str(error)


def _clips_path(data: Path, source: str) -> Path:
    path = data / source / "candidate_clips.parquet"
    if not path.exists():
        raise BuildError(f"{path} does not exist: an older cia-bench built {source}; build it again")
    return path


def _is_reviewable(row) -> bool:
    """Whether a candidate is ready for review, and has clips of both labels to look at."""
    return bool(row.ready and row.train_forward + row.validation_forward and row.train_reverse + row.validation_reverse)


def _item(row) -> Item:
    return Item(
        row.group_id,
        row.source,
        row.forward,
        row.reverse,
        row.noun,
        row.lexicon_row,
        row.published_id if isinstance(row.published_id, str) else None,
        tuple(row.hazards),
        row.risk,
        {name: int(getattr(row, name)) for name in COUNTS},
        group_digest(row),
    )


def _first(page: int, count: int) -> int:
    """Where a page of `count` clips begins; after the last comes the first again."""
    return page % max(1, -(-count // SAMPLE)) * SAMPLE


def _retract(line: Verdict) -> Verdict:
    return replace(line, verdict="retract", time=now(), reason="", clip_id=None, decision=None)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
