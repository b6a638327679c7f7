"""The lists of the review screen: the queue of candidates, and the sample clips of a label."""

from textual.content import Content

from cia_bench.errors import printable
from cia_bench.review.rows import Parts, Rows
from cia_bench.review.session import Item, Session
from cia_bench.review.wording import CONFLICT, DROPPED, MARKS, RISK, cut, duration, phrases

ROOMY, NOUN_CELLS = 36, 14  # from which width the nouns have a column, and its own
TONE_OF = {"accept": "good", "reject": "bad", "unsure": "warn", None: "dim"}


class Queue(Rows):
    """The candidates that filter and search let through."""

    def __init__(self, session: Session, **kwargs):
        super().__init__(**kwargs)
        self.session = session

    def parts(self, index: int, width: int) -> Parts:
        item = self.session.shown[index]
        decision = self.session.word(item).decision
        differ = CONFLICT if self.session.status(item) == "conflict" else " "
        hazards = min(9, len(item.hazards))
        source = f"{item.source} " if len(self.session.sources) > 1 else ""
        return [
            (MARKS[decision], TONE_OF[decision]),
            (differ, "bad"),
            (f"{RISK}{hazards} " if hazards else "   ", "warn"),
            (source, "dim"),
            (f"{printable(item.noun):<{NOUN_CELLS if width > ROOMY else 0}} ", "strong"),
            (phrases(self.session, item), ""),
        ]

    def show(self) -> None:
        """Show what the session shows, at its place."""
        self.fill(len(self.session.shown), self.session.position)
        searched = f"  /{printable(self.session.searched)}" if self.session.searched else ""
        self.border_title = Content(f"{self.session.filter} {self.count:,}{searched}")


class Clips(Rows):
    """The sample clips of a label of one candidate."""

    def __init__(self, session: Session, label: int, **kwargs):
        super().__init__(**kwargs)
        self.session, self.label = session, label
        self.clips: list = []
        self._dropped: frozenset[str] = frozenset()

    @property
    def clip(self):
        """The clip at the cursor, a row of tables.CANDIDATE_CLIPS; None if there is none."""
        return self.clips[self.cursor] if self.clips else None

    def parts(self, index: int, width: int) -> Parts:
        clip = self.clips[index]
        is_dropped = clip.clip_id in self._dropped
        return [
            (DROPPED if is_dropped else " ", "bad"),
            (RISK if len(clip.hazards) else " ", "warn"),
            (f"{clip.split[:1]} {duration(clip)} ", "dim"),
            (cut(printable(clip.text), width - 11), "dim" if is_dropped else ""),
        ]

    def show(self, item: Item | None, page: int, cursor: int = 0) -> None:
        """Show a page of clips of a candidate, none of None, the cursor on one of them if there are as many."""
        self.clips = list(self.session.sample(item, self.label, page).itertuples(index=False)) if item else []
        self._dropped = self.session.word(item).dropped if item else frozenset()
        self.fill(len(self.clips), max(0, min(cursor, len(self.clips) - 1)))
        self.border_title = Content(self._title(item, page))

    def _title(self, item: Item | None, page: int) -> str:
        if item is None:
            return ""
        phrase = printable(self.session.sides(item)[1 - self.label])
        first, count = self.session.places(item, self.label, page)
        places = f"{first + 1} to {first + len(self.clips)} of {count}" if count else "no clips"
        return f"label {self.label}: {phrase}, {places}"
