"""What the review screen shows beside its lists: the bar on top, the group, and the keys at the bottom."""

from textual import events
from textual.content import Content
from textual.widget import Widget

from cia_bench.errors import printable
from cia_bench.review.session import Item, Session
from cia_bench.review.wording import MARGIN, Field, clock, cut, fields, nothing_shown

STYLES = {"": "", "strong": "bold", "dim": "dim", "warn": "$text-warning"}
SETTLED_S = 60  # before that a rate says nothing


def in_lines(found: list[Field], width: int, most: int | None = None) -> list[Content]:
    """Fields below each other, their names on the left; what `most` lines can't hold, the last says."""
    lines = [(name, text, field.tone) for field in found for name, text in field.lines(width)]
    if most is not None and len(lines) > most:
        lines = [*lines[: most - 1], ("", f"… {len(lines) - most + 1} more lines (i)", "dim")]
    return [
        Content.assemble((f"{name:<{MARGIN}}", "dim"), (cut(text, width - MARGIN), STYLES[tone]))
        for name, text, tone in lines
    ]


class Bar(Widget):
    """Who reviews, in what order, and how far it is."""

    DEFAULT_CSS = "Bar { height: 1; background: $panel; color: $foreground; padding: 0 1; }"

    def __init__(self, session: Session, **kwargs):
        super().__init__(**kwargs)
        self.session = session

    def render(self) -> Content:
        session, width = self.session, self.content_size.width
        done = session.progress()
        share = f" {100 * done.decided // done.total}%" if done.total else ""
        rate = f"{done.per_hour:.0f}" if done.elapsed_s > SETTLED_S else "-"
        right = f"{done.decided:,}/{done.total:,}{share}  {rate}/h  {clock(done.elapsed_s)}"
        left = cut(f"cia review  {printable(session.reviewer)}  by {session.order}", max(0, width - len(right) - 2))
        return Content.assemble((left, "bold"), " " * (width - Content(left).cell_length - len(right)), right)


class Group(Widget):
    """All that there is to know of a candidate, as far as there is room."""

    DEFAULT_CSS = "Group { padding: 0 1; }"

    def __init__(self, session: Session, **kwargs):
        super().__init__(**kwargs)
        self.session = session
        self.item: Item | None = None

    def show(self, item: Item | None) -> None:
        self.item = item
        self.refresh()

    def render(self) -> Content:
        session, (width, height) = self.session, self.content_size
        found = [Field("", nothing_shown(session))] if self.item is None else fields(session, self.item)
        return Content("\n").join(in_lines(found, width, height))


class Hint(Widget):
    """How to get filmstrips of a source."""

    DEFAULT_CSS = "Hint { height: auto; padding: 0 1; text-style: dim; }"
    source = ""

    def show(self, source: str) -> None:
        if source != self.source:
            self.source = source
            self.refresh(layout=True)

    def render(self) -> Content:
        return Content(f"no filmstrips: give --videos DIR, or put the videos into DATA/{self.source}/videos")


class Keys(Widget):
    """The keys that there is room for; a click on one presses it."""

    DEFAULT_CSS = "Keys { height: 1; background: $panel; color: $foreground; padding: 0 1; }"

    def __init__(self, first: list[tuple[str, str, str]], last: list[tuple[str, str, str]], **kwargs):
        """Each is a key, what it does in a word, and the key's name; `last` are those that are always there."""
        super().__init__(**kwargs)
        self.first, self.last = first, last

    def shown(self) -> list[tuple[str, str, str]]:
        """Those that fit, whole."""
        left = self.content_size.width - sum(_width(entry) for entry in self.last)
        fitting = []
        for entry in self.first:
            left -= _width(entry)
            if left < 0:
                break
            fitting.append(entry)
        return fitting + self.last

    def render(self) -> Content:
        return Content("  ").join(
            Content.assemble((key, "bold $text-primary"), f" {word}") for key, word, _ in self.shown()
        )

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        right = 0
        for entry in self.shown() if place is not None else []:
            right += _width(entry)
            if place.x < right:
                self.app.simulate_key(entry[2])
                return


def _width(entry: tuple[str, str, str]) -> int:
    return len(f"{entry[0]} {entry[1]}  ")
