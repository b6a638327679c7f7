"""Write rankings in a format that is chosen by its name."""

from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.files import whole_files
from cia_bench.leaderboard.data import as_csv, as_json
from cia_bench.leaderboard.html import as_html
from cia_bench.leaderboard.latex import as_latex
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.text import as_markdown, as_table

FORMATS = {
    "table": as_table,
    "md": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
    "html": as_html,
}
ENDINGS = {"tex": "latex", "txt": "table", "htm": "html"}  # of files, beside those that are a format's name


def export(rankings: list[Ranking], form: str) -> str:
    """Return rankings as text in one of FORMATS; raises ConfigError for an unknown one."""
    if form not in FORMATS:
        raise ConfigError(f"unknown format {form!r}; choose from {', '.join(FORMATS)}")
    return FORMATS[form](rankings)


def format_of(path: Path) -> str:
    """The format that a file's ending asks for; a table if it has none."""
    ending = path.suffix.removeprefix(".")
    return ENDINGS.get(ending, ending) or "table"


def write_board(rankings: list[Ranking], form: str, path: Path) -> None:
    """Write rankings in one of FORMATS to a file, whole or not at all.

    Raises ConfigError for an unknown format, WriteError if it can't be written.
    """
    text = export(rankings, form)
    with whole_files(path.parent, seal=path.name) as scratch:
        (scratch / path.name).write_text(text, encoding="utf-8")
