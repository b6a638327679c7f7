"""A list of lines with a cursor: only the lines in sight are drawn, so it may hold thousands."""

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cia_bench.review.wording import cut

Parts = list[tuple[str, str]]  # pieces of a line, each a text and its tone: of TONES, or empty
TONES = ("dim", "strong", "good", "bad", "warn")


class Rows(ScrollView, can_focus=True):
    """The lines; what they say, a subclass's `parts` knows."""

    COMPONENT_CLASSES = {"rows--cursor", "rows--blurred", *(f"rows--{tone}" for tone in TONES)}
    DEFAULT_CSS = """
    Rows {
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .rows--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
        & > .rows--blurred { background: $block-cursor-blurred-background; color: $foreground; text-style: bold; }
        & > .rows--dim { text-style: dim; }
        & > .rows--strong { text-style: bold; }
        & > .rows--good { color: $text-success; }
        & > .rows--bad { color: $text-error; }
        & > .rows--warn { color: $text-warning; }
    }
    """
    BINDINGS = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "end(False)", show=False),
        Binding("end,G", "end(True)", show=False),
    ]

    class Moved(Message):
        """The user moved the cursor."""

        def __init__(self, rows: "Rows"):
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> "Rows":
            return self.rows

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = self.cursor = 0

    def parts(self, index: int, width: int) -> Parts:
        """What a line shows, after the mark of the cursor, in `width` cells; more is cut off."""
        raise NotImplementedError

    def fill(self, count: int, cursor: int = 0) -> None:
        """Show as many lines, the cursor on one of them."""
        self.count, self.cursor = count, cursor
        self.virtual_size = Size(0, count)
        self.refresh()
        self._keep_in_sight()

    def put(self, cursor: int) -> None:
        """Put the cursor on another line; only both lines are drawn anew."""
        before, self.cursor = self.cursor, cursor
        self.refresh_line(before)
        self.refresh_line(cursor)
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        index, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        base = self.rich_style
        if index >= self.count:
            return Strip.blank(width, base)
        at_cursor = index == self.cursor
        if at_cursor:
            base = self.get_component_rich_style("rows--cursor" if self.has_focus else "rows--blurred")
        mark = ("▸ " if self.has_focus else "› ") if at_cursor else "  "
        segments, left = [Segment(mark, base)], width - len(mark)
        for text, tone in self.parts(index, left):
            segment = Segment(cut(text, left), base + self._tone(tone, at_cursor))
            segments.append(segment)
            left -= segment.cell_length
        return Strip(segments).adjust_cell_length(width, base)

    def _tone(self, tone: str, at_cursor: bool):
        """The style of a tone, next to nothing on the cursor, whose colours are its own."""
        if not tone or (at_cursor and self.has_focus):
            return self.get_component_rich_style("rows--strong", partial=True) if tone == "strong" else None
        return self.get_component_rich_style(f"rows--{tone}", partial=True)

    def _keep_in_sight(self) -> None:
        if self.is_mounted and self.size.height:
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True, x_axis=False)

    def on_resize(self) -> None:
        self._keep_in_sight()

    def on_focus(self) -> None:
        self.refresh_line(self.cursor)

    def on_blur(self) -> None:
        self.refresh_line(self.cursor)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None:
            self._go(place.y + self.scroll_offset.y, only_if_there=True)

    def action_move(self, step: int) -> None:
        self._go(self.cursor + step)

    def action_page(self, pages: int) -> None:
        self._go(self.cursor + pages * max(1, self.size.height - 1))

    def action_end(self, last: bool) -> None:
        self._go(self.count - 1 if last else 0)

    def _go(self, index: int, only_if_there: bool = False) -> None:
        if only_if_there and index >= self.count:
            return
        index = max(0, min(index, self.count - 1))
        if index != self.cursor and self.count:
            self.put(index)
            self.post_message(self.Moved(self))
