"""Write rankings as a table for a terminal, or as Markdown; names come from strangers and are escaped."""

import io
import re

from cia_bench.errors import printable
from cia_bench.leaderboard.columns import Column, columns_of
from cia_bench.leaderboard.overview import (
    Overview,
    differences_in_words,
    name_of_line,
    overview_notes,
    overview_title,
    scores_in_words,
    with_overviews,
)
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.wording import compared, notes, status, title, warning

SHORT = {"parameters": "params", "embedding": "dim", "flip rate": "flip"}  # headings in a terminal
OF_CLASSES = ("top-5", "per class")
NARROW = ("parameters", "embedding", *OF_CLASSES, "gain", "flip rate", "rank", "ties")  # there, beside the scores


def as_table(rankings: list[Ranking]) -> str:
    """The columns that fit a terminal: of several sources, the mean alone has its interval."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), width=10_000, color_system=None)  # never cuts a cell to fit
    for line in warning(rankings):
        console.print(Text(line))
    for one in with_overviews(rankings):
        of_tasks = isinstance(one, Overview)
        facts = overview_notes(one, with_intervals=False) if of_tasks else [*notes(one), *_comparisons(one)]
        console.print(_grid_of_tasks(one) if of_tasks else _grid(one))
        for line in facts:
            console.print(Text(printable(line)), soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def _grid(ranking: Ranking):
    """A ranking as a rich table."""
    columns = [column for column in _in_order(ranking) if column.score or column.name in NARROW]
    table = _empty_grid(title(ranking), [SHORT.get(column.name, column.name) for column in columns])
    several = len(ranking.sources) > 1
    for above, row in zip([None, *ranking.rows], ranking.rows, strict=False):
        if row.constant or (above and above.constant):
            table.add_section()
        shorter = [several or column.name in OF_CLASSES for column in columns]
        cells = (_plain(c, row) if short else _text(c, row) for c, short in zip(columns, shorter, strict=True))
        _add(table, [_name(row), *cells])
    return table


def _grid_of_tasks(overview: Overview):
    """An overview as a rich table: differences alone have their intervals, and each base begins a section."""
    table = _empty_grid(overview_title(overview), [column.name for column in overview.columns])
    for above, line in zip([None, *overview.lines], overview.lines, strict=False):
        if above and not (line.base or line.constant):
            table.add_section()
        _add(table, [name_of_line(line), *(_without_interval(cell) for cell in scores_in_words(line))])
        if line.base:
            _add(table, [f"  minus {line.base}", *differences_in_words(line)])
    return table


def _empty_grid(heading: str, columns: list[str]):
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(heading)), title_justify="left")
    for name in ("model", *columns):
        table.add_column(Text(printable(name)), justify="left" if name == "model" else "right", no_wrap=True)
    return table


def _add(table, cells: list[str]) -> None:
    from rich.text import Text

    table.add_row(*(Text(printable(cell)) for cell in cells))


def as_markdown(rankings: list[Ranking]) -> str:
    """All columns that any row has a value of."""
    parts = [f"{line}\n" for line in warning(rankings)]
    for one in with_overviews(rankings):
        if isinstance(one, Overview):
            header, rows = ["model", *(column.name for column in one.columns)], _lines(one)
            heading, facts = overview_title(one), overview_notes(one)
        else:
            columns = _in_order(one)
            header = ["model", *(column.name for column in columns)]
            rows = [[_name(row), *(_text(column, row) for column in columns)] for row in one.rows]
            heading, facts = title(one), [*notes(one), *_comparisons(one)]
        rule = ["---" if name == "model" else "---:" for name in header]
        lines = ([markdown(cell) for cell in line] for line in (header, *rows))
        first, *others = (f"| {' | '.join(line)} |" for line in lines)
        table = "\n".join([first, f"| {' | '.join(rule)} |", *others])
        listed = "\n".join(f"- {markdown(line.strip())}" for line in facts)
        parts.append(f"## {markdown(heading)}\n\n{table}\n\n{listed}\n")
    return "\n".join(parts)


def _lines(overview: Overview) -> list[list[str]]:
    """The cells of an overview's lines, each difference below its joined model."""
    found = []
    for line in overview.lines:
        found.append([name_of_line(line), *scores_in_words(line)])
        found += [[f"minus {line.base}", *differences_in_words(line)]] if line.base else []
    return found


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
    places = {"parameters": 0, "embedding": 1, "gain": 4, "flip rate": 5, "rank": 6, "ties": 7}
    places |= dict.fromkeys(OF_CLASSES, 3)
    return sorted(columns, key=lambda column: 2 if column.score else places.get(column.name, 8))


def _name(row: Row) -> str:
    return f"{row.model} ({status(row)})" if status(row) else row.model


def _text(column: Column, row: Row) -> str:
    return "" if column.value(row) is None else column.text(row)


def _plain(column: Column, row: Row) -> str:
    """A cell without its interval, but for the mean."""
    return _text(column, row) if column.score == "mean" else _without_interval(_text(column, row))


def _without_interval(cell: str) -> str:
    return cell.partition(" [")[0]
