"""Write rankings as a table for a terminal, or as Markdown; names come from strangers and are escaped."""

import io
import re

from cia_bench.errors import printable
from cia_bench.leaderboard.columns import Column, columns_of
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.wording import compared, notes, status, title, warning

SHORT = {"parameters": "params", "embedding": "dim", "flip rate": "flip"}  # headings in a terminal
NARROW = ("parameters", "embedding", "gain", "flip rate", "rank", "ties")  # columns there, beside the scores


def as_table(rankings: list[Ranking]) -> str:
    """The columns that fit a terminal: of several sources, the mean alone has its interval."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=io.StringIO(), width=10_000, color_system=None)  # never cuts a cell to fit
    for line in warning(rankings):
        console.print(Text(line))
    for ranking in rankings:
        columns = [column for column in _in_order(ranking) if column.score or column.name in NARROW]
        table = Table(title=Text(printable(title(ranking))), title_justify="left")
        for name in ("model", *(column.name for column in columns)):
            heading = Text(printable(SHORT.get(name, name)))
            table.add_column(heading, justify="left" if name == "model" else "right", no_wrap=True)
        several = len(ranking.sources) > 1
        for above, row in zip([None, *ranking.rows], ranking.rows, strict=False):
            if row.constant or (above and above.constant):
                table.add_section()
            cells = (_plain(column, row) if several else _text(column, row) for column in columns)
            table.add_row(*(Text(printable(cell)) for cell in (_name(row), *cells)))
        console.print(table)
        for line in [*notes(ranking), *_comparisons(ranking)]:
            console.print(Text(printable(line)), soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def as_markdown(rankings: list[Ranking]) -> str:
    """All columns that any row has a value of."""
    parts = [f"{line}\n" for line in warning(rankings)]
    for ranking in rankings:
        columns = _in_order(ranking)
        header = ["model", *(column.name for column in columns)]
        rule = ["---" if name == "model" else "---:" for name in header]
        rows = [[_name(row), *(_text(column, row) for column in columns)] for row in ranking.rows]
        lines = ([markdown(cell) for cell in line] for line in (header, *rows))
        first, *others = (f"| {' | '.join(line)} |" for line in lines)
        table = "\n".join([first, f"| {' | '.join(rule)} |", *others])
        facts = "\n".join(f"- {markdown(line.strip())}" for line in [*notes(ranking), *_comparisons(ranking)])
        parts.append(f"## {markdown(title(ranking))}\n\n{table}\n\n{facts}\n")
    return "\n".join(parts)


def markdown(text: str) -> str:
    """Text that Markdown shows as it is: characters that could begin markup, HTML or an address are escaped."""
    text = re.sub(r"([\\`*_{}\[\]<>|~&$#!@])", r"\\\1", printable(text))
    text = re.sub(r"^([0-9]*)([-+.)])", r"\1\\\2", text)  # would begin a list
    return re.sub(r"(?i)(https?|ftp)(://)|(www)(\.)", r"\1\3&#8203;\2\4", text)  # GitHub links bare addresses


def _comparisons(ranking: Ranking) -> list[str]:
    """The pairs that were asked for, in words."""
    return [line for comparison in ranking.comparisons if comparison.asked for line in compared(comparison)]


def _in_order(ranking: Ranking) -> list[Column]:
    """Size, scores, controls and ranks, then the rest."""
    columns = columns_of(ranking)
    places = {"parameters": 0, "embedding": 1, "gain": 3, "flip rate": 4, "rank": 5, "ties": 6}
    return sorted(columns, key=lambda column: 2 if column.score else places.get(column.name, 7))


def _name(row: Row) -> str:
    return f"{row.model} ({status(row)})" if status(row) else row.model


def _text(column: Column, row: Row) -> str:
    return "" if column.value(row) is None else column.text(row)


def _plain(column: Column, row: Row) -> str:
    """A cell without its interval, but for the mean."""
    return _text(column, row) if column.score == "mean" else _text(column, row).partition(" [")[0]
