"""Pictures as files: one look whatever matplotlib is set to; the same numbers give the same bytes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from cia_bench.errors import ConfigError, printable
from cia_bench.files import whole_files

ENDINGS = {  # of files, and the metadata that keeps the time of drawing out of them
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
STYLE = {  # over matplotlib's own defaults, so that nobody's matplotlibrc changes a picture
    "font.size": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # names hold dollars
    "svg.hashsalt": "cia-bench",  # else ids are random
    "pdf.fonttype": 42,  # text stays text
}
WIDTH = 9.0  # inches
DPI = 150
LONGEST_NAME = 60  # letters of a title


def check_ending(out: Path) -> None:
    """Raise ConfigError unless `out` ends as a picture does: before any long work."""
    if out.suffix.lower() not in ENDINGS:
        raise ConfigError(f"can't tell by its name what picture {out} is; let it end in {', '.join(ENDINGS)}")


@contextmanager
def style() -> Iterator[None]:
    """Figures that are made and saved within have our look; they are drawn off screen by Agg, or as SVG or PDF."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in letters that the font lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as it can stand in a picture: its beginning and end where it has more than `longest` letters."""
    name = printable(name)
    tail = longest // 4
    return name if len(name) <= longest else f"{name[: longest - tail - 1]}…{name[-tail:]}"


def save(figure: Figure, out: Path) -> None:
    """Write a figure whole or not at all; raises WriteError."""
    ending = out.suffix.lower()
    with whole_files(out.parent, seal=out.name) as scratch:
        figure.savefig(scratch / out.name, format=ending[1:], metadata=ENDINGS[ending])
