import io

import numpy as np
import pytest
from rich._palettes import EIGHT_BIT_PALETTE
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from cia_bench.errors import ConfigError
from cia_bench.review.filmstrip import Strip
from cia_bench.review.halfblocks import COLOURS, draw, frames_that_fit

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
BLACK, GREY, ROSE = (0, 0, 0), (127, 127, 127), (250, 10, 100)


def strip_of(pixels) -> Strip:
    pixels = np.array(pixels, np.uint8)
    return Strip(pixels, np.arange(len(pixels), dtype=float), False)


def plain(count: int, height: int = 48, width: int = 86) -> Strip:
    """Frames of one colour each: 0, 0, 0, then 1, 1, 1, and so on."""
    return strip_of(np.broadcast_to(np.arange(count)[:, None, None, None], (count, height, width, 3)))


def cells(line: list[Segment]) -> list[tuple]:
    """What each cell of a line shows: the colours of a half block, or else the character."""
    shown = []
    for text, style, _ in line:
        for character in text:
            colours = character == "▀" and (tuple(style.color.triplet), tuple(style.bgcolor.triplet))
            shown.append(colours or character)
    return shown


TWO_FRAMES = strip_of(
    [
        [[RED, GREEN], [BLUE, BLUE], [WHITE, ROSE], [BLACK, ROSE]],
        [[GREY, GREY], [GREY, GREY], [RED, GREEN], [GREEN, RED]],
    ]
)


def test_each_cell_shows_the_pixel_above_and_the_one_below():
    first, second = draw(TWO_FRAMES, columns=6, rows=2, first=0, colours="truecolor")
    assert cells(first) == [(RED, BLUE), (GREEN, BLUE), " ", (GREY, GREY), (GREY, GREY), " "]
    assert cells(second) == [(WHITE, BLACK), (ROSE, ROSE), " ", (RED, GREEN), (GREEN, RED), " "]


def test_neighbours_that_look_the_same_are_one_segment():
    first, second = draw(TWO_FRAMES, columns=7, rows=2, first=0, colours="truecolor")
    assert [segment.text for segment in first] == ["▀", "▀", " ", "▀▀", "  "]
    assert [segment.text for segment in second] == ["▀", "▀", " ", "▀", "▀", "  "]


def test_it_starts_with_the_frame_asked_for():
    first, _ = draw(TWO_FRAMES, columns=6, rows=2, first=1, colours="truecolor")
    assert cells(first) == [(GREY, GREY), (GREY, GREY), " ", " ", " ", " "]
    assert cells(draw(TWO_FRAMES, columns=3, rows=2, first=2, colours="truecolor")[0]) == [" "] * 3


def test_frames_are_scaled_to_the_rows_and_keep_their_aspect():
    lines = draw(plain(16), columns=160, rows=12, first=3, colours="truecolor")  # 24 pixels high, so 43 wide
    shown = [((number,) * 3,) * 2 for number in (3, 4, 5)]
    expected = [shown[0]] * 43 + [" "] + [shown[1]] * 43 + [" "] + [shown[2]] * 43 + [" "] * 29
    assert [cells(line) for line in lines] == [expected] * 12


def test_a_frame_wider_than_the_columns_is_shown_lower():
    lines = draw(plain(2, height=48, width=96), columns=24, rows=12, first=1, colours="truecolor")
    assert [cells(line) for line in lines] == [[((1,) * 3,) * 2] * 24] * 6 + [[" "] * 24] * 6


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("columns", [0, 1, 2, 43, 87, 200])
@pytest.mark.parametrize("rows", [0, 1, 7, 12, 30])
def test_there_are_always_as_many_cells_as_asked_for(columns, rows, colours):
    for width in (2, 86, 120):
        lines = draw(plain(16, width=width), columns, rows, 5, colours)
        assert [sum(len(segment.text) for segment in line) for line in lines] == [columns] * rows


@pytest.mark.parametrize("columns", [1, 42, 43, 86, 87, 88, 130, 131, 700, 2000])
def test_as_many_frames_are_drawn_as_are_said_to_fit(columns):
    line = draw(plain(16), columns, 12, 0, "truecolor")[0]
    drawn = {shown for shown in cells(line) if shown != " "}
    assert len(drawn) == frames_that_fit(plain(16), columns, 12)


def test_how_many_fit_is_worked_out_by_hand():
    assert [frames_that_fit(plain(16), columns, 12) for columns in (1, 86, 87, 130, 131)] == [1, 1, 2, 2, 3]
    assert frames_that_fit(plain(16), 2000, 12) == 16
    assert frames_that_fit(plain(16), 0, 0) == 1


def test_with_256_colours_each_pixel_has_the_nearest():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 24, 80, 3))
    pixels[0, :, ::2] = pixels[0, :, ::2, :1] + rng.integers(-3, 4, (24, 40, 3))  # half of them nearly grey
    pixels = pixels.clip(0, 255)
    palette = np.array([tuple(EIGHT_BIT_PALETTE[number]) for number in range(16, 256)])
    least = ((pixels[0, :, :, None] - palette) ** 2).sum(axis=-1).min(axis=-1)
    shown = np.array([cells(line) for line in draw(strip_of(pixels), 80, 12, 0, "256")])  # (12, 80, 2, 3)
    drawn = shown.transpose(0, 2, 1, 3).reshape(24, 80, 3)
    np.testing.assert_array_equal(((drawn - pixels[0]) ** 2).sum(axis=-1), least)


def test_256_colours_reach_the_terminal_by_their_numbers():
    grey = (198, 198, 198)  # colour 251; rich would make it 250
    strip = strip_of([[[RED, WHITE, grey], [BLACK, ROSE, grey]]])
    console = Console(file=io.StringIO(), color_system="256", force_terminal=True, _environ={})
    console.print(Segments(draw(strip, 3, 1, 0, "256")[0]), end="")
    expected = [(196, 16), (231, 197), (251, 251)]
    assert console.file.getvalue() == "".join(f"\x1b[38;5;{up};48;5;{low}m▀\x1b[0m" for up, low in expected)


@pytest.mark.parametrize("colours", ["16", "none"])
def test_without_colours_brightness_is_ink_on_dark_and_its_lack_on_light(colours):
    strip = strip_of([[[BLACK, GREY, WHITE, WHITE, GREEN, BLUE], [BLACK, GREY, WHITE, GREY, GREEN, BLUE]]])
    (dark,) = draw(strip, 7, 1, 0, colours, dark=True)
    (light,) = draw(strip, 7, 1, 0, colours, dark=False)
    assert dark == [Segment(" =@#+. ")] and light == [Segment("@+ :=% ")]


def test_the_brightness_of_a_whole_strip_is_spread_over_the_ink():
    dim, mid, lit = (100,) * 3, (155,) * 3, (200,) * 3
    strip = strip_of([[[dim, mid], [dim, mid]], [[lit, mid], [lit, mid]]])
    assert draw(strip, 5, 1, 0, "none") == [[Segment(" + @+")]]
    assert draw(strip, 5, 1, 1, "none") == [[Segment("@+   ")]]  # as when it is the second
    nearly_plain = strip_of([[[(100,) * 3, (101,) * 3], [(100,) * 3, (101,) * 3]]])
    assert draw(nearly_plain, 2, 1, 0, "none") == [[Segment("  ")]]


def test_blank_cells_and_characters_have_the_style_asked_for():
    style = Style.parse("on red")
    assert draw(TWO_FRAMES, 6, 2, 0, "truecolor", blank=style)[0][-1] == Segment(" ", style)
    assert draw(TWO_FRAMES, 6, 2, 0, "none", blank=style)[0][0].style == style


def test_other_colours_are_refused():
    with pytest.raises(ConfigError, match="unknown colours 'mauve'; choose from truecolor, 256, 16, none"):
        draw(TWO_FRAMES, 6, 2, 0, "mauve")
