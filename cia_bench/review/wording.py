"""The marks and words in which the review screen shows a candidate. All of it is plain text, safe on a terminal."""

import textwrap
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from cia_bench.errors import printable
from cia_bench.hazards import CLIP_HAZARDS, GROUP_HAZARDS
from cia_bench.review.decisions import word_of
from cia_bench.review.journal import DECISIONS, SHIPPED
from cia_bench.review.session import Item, Session

MARKS = {"accept": "✓", "reject": "✗", "unsure": "?", None: "·"}
CONFLICT, RISK, DROPPED, CUT = "≠", "▲", "✗", "…"
HAZARDS = {**CLIP_HAZARDS, **GROUP_HAZARDS}
MARGIN = 9  # cells of the names of the fields
COUNTS_OF = {"forward": ("train_forward", "validation_forward"), "reverse": ("train_reverse", "validation_reverse")}


@dataclass(frozen=True)
class Field:
    """One thing that there is to know of a candidate."""

    name: str
    text: str
    tone: str = ""  # strong, dim or warn

    def lines(self, width: int) -> list[tuple[str, str]]:
        """Name and text of each line of it, as wide as there is room for."""
        texts = textwrap.wrap(self.text, max(10, width - MARGIN)) or [""]
        return [(self.name if place == 0 else "", text) for place, text in enumerate(texts)]


def cut(text: str, width: int) -> str:
    """The text if it fits into as many cells, else its start and an ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + CUT if width > 0 else ""


def phrases(session: Session, item: Item) -> str:
    """Both phrases, that of label 1 first."""
    return printable(" / ".join(session.sides(item)))


def fields(session: Session, item: Item) -> list[Field]:
    """All that there is to know of a candidate, what matters most first."""
    published = f", published as {item.published_id}" if item.published_id else ""
    others = _others(session, item)
    found = [
        Field("noun", item.noun or "(none)", "strong"),
        Field("label 1", _side(session, item, 1), "strong"),
        Field("label 0", _side(session, item, 0), "strong"),
        *_own(session, item),
        *(others if session.settles else []),
        Field("pair", f"{item.lexicon_row}{published}", "dim"),
        *[Field("hazard", f"{RISK} {HAZARDS.get(name, name)} ({name})", "warn") for name in item.hazards],
        *([] if session.settles else others),  # last, so as not to lead
        Field("group", item.group_id, "dim"),
    ]
    return [Field(field.name, printable(field.text), field.tone) for field in found]


def clip_fields(clip) -> list[Field]:
    """All that there is to know of a clip, a row of tables.CANDIDATE_CLIPS."""
    found = [
        Field("clip", clip.clip_id, "dim"),
        Field("caption", clip.text, "strong"),
        Field("time", f"{interval(clip)} of {clip.video}"),
        Field("split", clip.split),
        *[Field("hazard", f"{RISK} {HAZARDS.get(name, name)} ({name})", "warn") for name in clip.hazards],
    ]
    return [Field(field.name, printable(field.text), field.tone) for field in found]


def interval(clip) -> str:
    """From when to when a clip lasts."""
    if clip.start_s != clip.start_s or clip.start_s is None:
        return "all"
    return f"{clip.start_s:.1f} to {clip.stop_s:.1f} s"


def duration(clip) -> str:
    """How long a clip lasts, in six cells."""
    if clip.start_s != clip.start_s or clip.start_s is None:
        return "   all"
    return f"{clip.stop_s - clip.start_s:5.1f}s"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def nothing_shown(session: Session) -> str:
    """Why the queue is empty, and what to do."""
    if not session.items:
        return (
            "No candidate is in conflict: there is nothing to settle."
            if session.settles
            else "No candidate of this build is ready for review. cia build --profile extended says what it left out."
        )
    if session.searched:
        return (
            f"Nothing here matches {printable(session.searched)!r}. Escape in the search (/) clears it; f shows others."
        )
    of_kind = {
        "to do": f"Nothing left to do: you have decided all {len(session.items)}.",
        "decided": "You have decided nothing yet.",
        "conflict": "No two reviewers differ.",
    }
    return f"{of_kind.get(session.filter, 'Nothing.')} f shows others."


def _side(session: Session, item: Item, label: int) -> str:
    """The phrase of a label, and how many clips it has in each split."""
    is_forward = (label == 1) != session.word(item).is_swapped
    train, validation = (item.counts[name] for name in COUNTS_OF["forward" if is_forward else "reverse"])
    return f"{item.forward if is_forward else item.reverse}  ({train} train, {validation} validation)"


def _others(session: Session, item: Item) -> list[Field]:
    """What each other reviewer says, what ships with cia-bench last."""
    names = sorted(dict.fromkeys(line.reviewer for line in session.lines(item)), key=SHIPPED.__eq__)
    return [Field("says", f"{name}: {_said(session, item, name)}") for name in names if name != session.reviewer]


def _own(session: Session, item: Item) -> list[Field]:
    said = _said(session, item, session.reviewer)
    return [Field("you say", said, "strong")] if said else []


def _said(session: Session, item: Item, reviewer: str) -> str:
    """What a reviewer's lines come to, in words."""
    lines = session.lines(item)
    word = word_of(lines, reviewer)
    last = [line for line in lines if line.reviewer == reviewer and line.verdict in (*DECISIONS, "final")]
    parts = []
    if word.decision:
        final = "settled: " if word.is_final else ""
        parts.append(f"{final}{word.decision} (on {last[-1].basis}){': ' + word.reason if word.reason else ''}")
    if word.is_swapped:
        parts.append("labels swapped")
    if word.dropped:
        parts.append(f"{len(word.dropped)} clip{'s' if len(word.dropped) > 1 else ''} dropped")
    return "; ".join([*parts, *(f"“{comment}”" for comment in word.comments)])
