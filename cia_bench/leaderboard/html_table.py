"""The tables of the leaderboard's page: the ranking, differences between models, and tasks side by side."""

from cia_bench.leaderboard.columns import Column, columns_of
from cia_bench.leaderboard.overview import (
    Line,
    Overview,
    differences_in_words,
    overview_title,
    scores_in_words,
)
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Comparison, Ranking
from cia_bench.leaderboard.wording import status, title
from cia_bench.pages import escape

LONG = 40  # rows, from which on a table scrolls within itself, under its header
NUMBER = ' class="number"'


def models_of(ranking: Ranking) -> list[Row]:
    """The rows that the page numbers: all but the constant answer."""
    return [row for row in ranking.rows if not row.constant]


def ranking_table(ranking: Ranking) -> str:
    """The ranking as a table to sort: rows of one body are sorted together, and what stands apart stays apart."""
    columns, models = columns_of(ranking), models_of(ranking)
    best = _best(columns, models)
    bodies: dict[str, list[str]] = {"models": [], "constant": [], "apart": []}
    for row in ranking.rows:
        body = "constant" if row.constant else "apart" if bodies["constant"] else "models"
        number = "" if row.constant else f' data-model="{models.index(row)}"'
        bodies[body].append(f"<tr{number}>{_cells(columns, row, best)}</tr>\n")
    written = "".join(f'<tbody class="{name}">\n{"".join(rows)}</tbody>\n' for name, rows in bodies.items() if rows)
    extent = "board long" if len(models) > LONG else "board"
    return (
        f'<div class="{extent}" tabindex="0" role="region" aria-label="{escape(title(ranking))}">\n'
        f"<table>\n<caption>{escape(title(ranking))}</caption>\n<thead><tr>{_headers(columns)}</tr></thead>\n"
        f"{written}</table>\n</div>\n"
    )


def _headers(columns: list[Column]) -> str:
    first = '<th scope="col" aria-sort="none" data-first="ascending"><button type="button">model</button></th>'
    return first + "".join(
        f'<th scope="col" aria-sort="none" data-first="{"ascending" if column.words else column.best_first}"'
        f'{_class(column)}><button type="button" title="{escape(column.says)}">{escape(column.name)}</button></th>'
        for column in columns
    )


def _class(column: Column, best: bool = False) -> str:
    return f' class="{"words" if column.words else "number"}{" best" if best else ""}"'


def _best(columns: list[Column], models: list[Row]) -> dict[str, float]:
    """The highest score of a measured row, by column."""
    measured = [row for row in models if row.measured]
    scored = {column.name: [column.value(row) for row in measured] for column in columns if column.score}
    return {
        name: max((value for value in values if value is not None), default=None) for name, values in scored.items()
    }


def _cells(columns: list[Column], row: Row, best: dict[str, float]) -> str:
    name = f'<th scope="row" data-value="{escape(row.model)}"><bdi>{_name(row.model)}</bdi>{_badge(row)}</th>'
    return name + "".join(_cell(column, row, best) for column in columns)


def _cell(column: Column, row: Row, best: dict[str, float]) -> str:
    value = column.value(row)
    if value is None:
        return f'<td data-value=""{_class(column)}></td>'
    shown = escape(column.text(row)) if column.words else _with_range(column.text(row))
    is_best = row.measured and best.get(column.name) == value
    return f'<td data-value="{escape(value)}"{_class(column, is_best)}>{shown}</td>'


def _with_range(text: str) -> str:
    """A number whose interval, if it has one, stands back."""
    main, bracket, interval = escape(text).partition(" [")
    return f'{main} <span class="range">[{interval}</span>' if bracket else main


def _name(model: str) -> str:
    """A model's name, which may go on in a new line after each part of it."""
    return escape(model).replace("+", "+<wbr>")


def _badge(row: Row) -> str:
    word = status(row)
    return f' <span class="badge {word}">{word}</span>' if word else ""


# differences


def differences_table(ranking: Ranking) -> str:
    """Models against one another, folded away unless they were asked for; nothing if there are none."""
    if not ranking.comparisons:
        return ""
    parts = [*ranking.sources] if len(ranking.sources) > 1 else []
    names = ["one minus the other", *parts, "mean" if parts else next(iter(ranking.sources)), "p", "p, adjusted"]
    headers = "".join(
        f'<th scope="col"{"" if place == 0 else NUMBER}>{escape(name)}</th>' for place, name in enumerate(names)
    )
    rows = "".join(_difference_row(comparison, parts) for comparison in ranking.comparisons)
    opened = " open" if ranking.comparisons[0].asked else ""
    return (
        f'<details class="differences"{opened}><summary>Differences between models</summary>\n'
        f'<p class="note">In points of {escape(ranking.metric)}, with {100 * ranking.level:g}% interval; p is '
        "two-sided, and adjusted for all pairs of the table (Holm).</p>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Differences">\n<table>'
        f"<thead><tr>{headers}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n</div>\n</details>\n"
    )


def _difference_row(comparison: Comparison, parts: list[str]) -> str:
    pair = f"<bdi>{escape(comparison.a)}</bdi> minus <bdi>{escape(comparison.b)}</bdi>"
    shown = [_points(comparison.sources[name]["difference"], comparison.sources[name]["interval"]) for name in parts]
    shown += [_points(comparison.difference, comparison.interval), _p(comparison.p), _p(comparison.p_adjusted)]
    return f'<tr><th scope="row">{pair}</th>' + "".join(f"<td{NUMBER}>{text}</td>" for text in shown) + "</tr>\n"


def _points(difference: float, interval: tuple[float, float]) -> str:
    low, high = (100 * end for end in interval)
    return f'{100 * difference:+.1f} <span class="range">[{low:+.1f}, {high:+.1f}]</span>'


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.0001 else "&lt; 0.0001"


# the standard benchmarks side by side


def overview_table(overview: Overview) -> str:
    """Models by tasks: each base with what was joined to it is a body of its own, so that they stay together."""
    heads = "".join(f'<th scope="col"{NUMBER}>{escape(name)}</th>' for name in (c.name for c in overview.columns))
    bodies: list[str] = []
    for line in overview.lines:
        rows = _lines(line)
        bodies[-1:] = [bodies[-1] + rows] if line.base else [*bodies[-1:], rows]
    name = escape(overview_title(overview))
    return (
        f'<div class="board tasks" tabindex="0" role="region" aria-label="{name}">\n'
        f"<table>\n<caption>{name}</caption>\n"
        f'<thead><tr><th scope="col">model</th>{heads}</tr></thead>\n'
        f"{''.join(f'<tbody>{rows}</tbody>' for rows in bodies)}\n</table>\n</div>\n"
    )


def _lines(line: Line) -> str:
    badge = ' <span class="badge reported">reported</span>' if line.reported else ""
    rows = _line(f"<bdi>{_name(line.model)}</bdi>{badge}", scores_in_words(line), "")
    if line.base:
        rows += _line(f"minus <bdi>{escape(line.base)}</bdi>", differences_in_words(line), ' class="difference"')
    return rows


def _line(name: str, cells: list[str], kind: str) -> str:
    return (
        f'<tr{kind}><th scope="row">{name}</th>'
        + "".join(f"<td{NUMBER}>{_with_range(c)}</td>" for c in cells)
        + "</tr>\n"
    )
