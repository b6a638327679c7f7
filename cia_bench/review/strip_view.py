"""A filmstrip on the screen, or why there is none."""

import textwrap
from dataclasses import replace

import numpy as np
from rich.segment import Segment
from textual.content import Content
from textual.message import Message
from textual.strip import Strip as Line
from textual.widget import Widget

from cia_bench.errors import printable
from cia_bench.review.halfblocks import draw, frames_that_fit
from cia_bench.review.strips import NoStrip, Strip
from cia_bench.review.wording import interval

SPREAD = -1  # in place of the number of the first frame: those shown are spread over the clip
COLOURS = {"truecolor": "truecolor", "256": "256", "standard": "16", "windows": "16"}  # by rich's names


class StripView(Widget):
    """The strip of one clip of a label."""

    DEFAULT_CSS = "StripView { padding: 0 1; }"

    class Drawn(Message):
        """Pictures of a clip's strip are on the screen."""

        def __init__(self, clip):
            super().__init__()
            self.clip = clip

    def __init__(self, label: int, **kwargs):
        super().__init__(**kwargs)
        self.label = label
        self.first = SPREAD
        self.clip, self.strip = None, None
        self._drawn: tuple | None = None  # size and theme of the lines; None: they are out of date
        self._lines: list[Line] = []
        self._told = None  # the clip of the last Drawn

    def show(self, clip, strip: Strip | NoStrip | None) -> None:
        """Show a clip, with its strip if that is there already."""
        if self.clip is None or clip is None or clip.clip_id != self.clip.clip_id:
            self.first = SPREAD
        self.clip, self.strip = clip, strip
        self._refresh()

    def offer(self, clip, strip: Strip | NoStrip) -> None:
        """Take a strip that was loaded, if it is of the clip that is shown."""
        if self.clip is not None and clip.clip_id == self.clip.clip_id and clip.source == self.clip.source:
            self.show(self.clip, strip)

    def scrub(self, step: int) -> None:
        """Show later frames, one after the other, or earlier ones; before the first those spread over the clip."""
        if isinstance(self.strip, Strip):
            self.first = max(SPREAD, min(self.first + step, len(self.strip.pixels) - self._fitting()))
            self._refresh()

    def on_resize(self) -> None:
        self._refresh()

    def render_line(self, y: int) -> Line:
        size = self.content_size
        if self._drawn != (size, self.app.theme):
            self._lines, self._drawn = self._draw(), (size, self.app.theme)
        if isinstance(self.strip, Strip) and self._told is not self.clip:
            self._told = self.clip
            self.app.post_message(self.Drawn(self.clip))  # one posted to itself, its parent would stop while it draws
        return self._lines[y] if y < len(self._lines) else Line.blank(size.width, self.rich_style)

    def _draw(self) -> list[Line]:
        width, height = self.content_size
        if not isinstance(self.strip, Strip):
            texts = textwrap.wrap(self._excuse(), max(1, width))[:height]
            return [Line([Segment(text, self.rich_style)]).adjust_cell_length(width, self.rich_style) for text in texts]
        colours = "none" if self.app.no_color else COLOURS.get(self.app.console.color_system, "none")
        is_dark = self.app.current_theme.dark
        lines = draw(self._frames(), width, height, max(0, self.first), colours, is_dark, self.rich_style)
        return [Line(line, width) for line in lines]

    def _frames(self) -> Strip:
        """The strip; or of it as many frames as fit, the first and the last among them."""
        if self.first != SPREAD:
            return self.strip
        places = np.linspace(0, len(self.strip.pixels) - 1, self._fitting()).round().astype(int)
        return replace(self.strip, pixels=self.strip.pixels[places], times_s=self.strip.times_s[places])

    def _excuse(self) -> str:
        """Why there are no pictures."""
        if self.clip is None:
            return "no clip"
        return "reading ..." if self.strip is None else printable(self.strip.reason)

    def _fitting(self) -> int:
        return frames_that_fit(self.strip, max(1, self.content_size.width), max(1, self.content_size.height))

    def _refresh(self) -> None:
        self._drawn = None
        self.border_title = Content(self._title())
        self.refresh()

    def _title(self) -> str:
        if self.clip is None:
            return f"{self.label}"
        title = f"{self.label}: {printable(self.clip.text)}, {interval(self.clip)}"
        if isinstance(self.strip, Strip):
            count, fitting = len(self.strip.pixels), self._fitting()
            in_a_row = f"frames {self.first + 1} to {self.first + fitting} of {count}"
            title += f", {fitting} of {count} frames" if self.first == SPREAD else f", {in_a_row}"
            title += ", cut at the video's end" if self.strip.cut else ""
        return title
