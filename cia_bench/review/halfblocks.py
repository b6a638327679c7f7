"""Draw a filmstrip in the cells of a terminal: two pixels a cell in colour, else one character by its brightness."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from cia_bench.errors import ConfigError
from cia_bench.review.filmstrip import Strip

COLOURS = ("truecolor", "256", "16", "none")
HALF_BLOCK = "▀"  # its upper half in the foreground's colour, its lower half in the background's
INK = " .:-=+*#%@"  # ever more of it
LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue are: ITU-R BT.601
LEAST_CONTRAST = 64  # of 255: what differs by less is not drawn out to all of the ink
CUBE = np.array([0, 95, 135, 175, 215, 255])  # xterm's levels of each channel, colours 16 to 231
GREYS = np.arange(8, 248, 10)  # xterm's colours 232 to 255
BLANK = -1  # in place of a cell's two colours
STYLES = 1 << 15  # of cells kept: making one is the slowest part of drawing


def frames_that_fit(strip: Strip, columns: int, rows: int) -> int:
    """How many frames `draw` can show side by side in columns x rows cells: at least 1, at most all."""
    width, _ = _frame_size(strip, columns, rows)
    return max(1, min(len(strip.pixels), (columns + 1) // (width + 1)))


def draw(
    strip: Strip, columns: int, rows: int, first: int, colours: str, dark: bool = True, blank: Style | None = None
) -> list[list[Segment]]:
    """Return `rows` lines of `columns` cells each with the frames that fit, from number `first` (0 or more) on.

    A frame is as high as the rows, or as wide as the columns if it would be wider; one column between two is blank.
    `colours` is "truecolor", "256", or for characters of the default colour "16" or "none"; these need to know whether
    the background is `dark`. `blank` is the style of blank cells and of characters.

    Raises ConfigError for other colours.
    """
    if colours not in COLOURS:
        raise ConfigError(f"unknown colours {colours!r}; choose from {', '.join(COLOURS)}")
    if columns < 1 or rows < 1:
        return [[] for _ in range(rows)]
    pixels, filled = _lay_out(strip, columns, rows, first)
    if colours in ("16", "none"):
        darkest, brightest = np.percentile(strip.pixels @ LUMA, (1, 99))
        bright = (pixels @ LUMA - darkest) / max(brightest - darkest, LEAST_CONTRAST)
        return [[Segment(line, blank)] for line in _characters(bright, filled, dark)]
    numbers, style_of = (_rgb(pixels), _rgb_style) if colours == "truecolor" else (_xterm(pixels), _xterm_style)
    pairs = np.where(filled, numbers[::2] << 24 | numbers[1::2], BLANK)
    return [_segments(line, style_of, blank) for line in pairs]


def _frame_size(strip: Strip, columns: int, rows: int) -> tuple[int, int]:
    """Width and height of a frame in pixels, as half of a cell is one; the height is even."""
    height, width = strip.pixels.shape[1:3]
    scale = min(2 * rows / height, columns / width)
    return max(1, round(width * scale)), 2 * max(1, round(height * scale / 2))


def _lay_out(strip: Strip, columns: int, rows: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames on a canvas, uint8 (2 * rows, columns, 3), and which cells they fill, (rows, columns)."""
    width, height = _frame_size(strip, columns, rows)
    pixels, filled = np.zeros((2 * rows, columns, 3), np.uint8), np.zeros((rows, columns), bool)
    for place, frame in enumerate(strip.pixels[first : first + frames_that_fit(strip, columns, rows)]):
        left, right = place * (width + 1), place * (width + 1) + width
        pixels[:height, left:right] = Image.fromarray(frame).resize((width, height), Image.Resampling.HAMMING)
        filled[: height // 2, left:right] = True
    return pixels, filled


def _characters(bright: np.ndarray, filled: np.ndarray, dark: bool) -> list[str]:
    """A line of characters for each two of pixels: brightness, 0 to 1, is ink on a dark background, else its lack."""
    ink = np.array(list(INK if dark else INK[::-1]))
    of_cells = (bright[::2] + bright[1::2]) / 2
    levels = (of_cells * len(INK)).astype(int).clip(0, len(INK) - 1)
    return ["".join(line) for line in np.where(filled, ink[levels], " ")]


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """Each pixel's colour as one number of 24 bits."""
    return pixels.astype(np.int64) @ [1 << 16, 1 << 8, 1]


def _xterm(pixels: np.ndarray) -> np.ndarray:
    """The number of the colour nearest to each pixel's among xterm's 216 and its 24 greys."""
    steps = np.searchsorted((CUBE[1:] + CUBE[:-1]) / 2, pixels)
    grey = np.searchsorted((GREYS[1:] + GREYS[:-1]) / 2, pixels.mean(axis=-1))
    from_cube = ((CUBE[steps] - pixels) ** 2).sum(axis=-1)
    from_grey = ((GREYS[grey][..., None] - pixels) ** 2).sum(axis=-1)
    return np.where(from_grey < from_cube, 232 + grey, 16 + steps @ [36, 6, 1])


@functools.lru_cache(STYLES)
def _rgb_style(pair: int) -> Style:
    upper, lower = (Color.from_rgb(n >> 16, n >> 8 & 255, n & 255) for n in (pair >> 24, pair & 0xFFFFFF))
    return Style.from_color(upper, lower)


@functools.lru_cache(STYLES)
def _xterm_style(pair: int) -> Style:
    upper, lower = (Color.from_ansi(n) for n in (pair >> 24, pair & 0xFFFFFF))
    return Style.from_color(*(c._replace(triplet=c.get_truecolor()) for c in (upper, lower)))  # Textual keeps it so


def _segments(pairs: np.ndarray, style_of: Callable[[int], Style], blank: Style | None) -> list[Segment]:
    """One line of cells, neighbours that look the same in one segment."""
    starts = np.flatnonzero(np.diff(pairs, prepend=BLANK - 1))
    lengths = np.diff(starts, append=len(pairs))
    return [
        Segment(" " * length, blank) if pair == BLANK else Segment(HALF_BLOCK * length, style_of(pair))
        for pair, length in zip(pairs[starts].tolist(), lengths.tolist(), strict=True)
    ]
