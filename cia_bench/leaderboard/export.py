"""Write rankings as a terminal table, Markdown or CSV; names come from strangers and are escaped in each."""

import csv
import io
import re
from pathlib import Path

from cia_bench.errors import ConfigError, printable
from cia_bench.files import whole_files
from cia_bench.leaderboard.rows import CONSTANT, Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.results import percent


def export(rankings: list[Ranking], form: str) -> str:
    """Return rankings as text in one of FORMATS; raises ConfigError for an unknown one."""
    if form not in FORMATS:
        raise ConfigError(f"unknown format {form!r}; choose from {', '.join(FORMATS)}")
    return FORMATS[form](rankings)


def write_board(rankings: list[Ranking], form: str, path: Path) -> None:
    """Write rankings in one of FORMATS to a file, whole or not at all.

    Raises ConfigError for an unknown format, WriteError if it can't be written.
    """
    text = export(rankings, form)
    with whole_files(path.parent, seal=path.name) as scratch:
        (scratch / path.name).write_text(text, encoding="utf-8")


def _parameters(row: Row) -> str:
    if row.parameters is None:
        return ""
    return f"{row.parameters / 1e6:.1f}M" if row.parameters >= 100_000 else str(row.parameters)


def _header(ranking: Ranking) -> list[str]:
    return ["model", "parameters", "dim", *ranking.sources, "mean"]


def _cells(ranking: Ranking, row: Row) -> list[str]:
    scores = [row.scores[source] for source in ranking.sources]
    dim = "" if row.dim is None else f"{row.dim:,}"
    return [row.model, _parameters(row), dim, *(percent(score) for score in (*scores, row.mean))]


def _lines(ranking: Ranking) -> list[list[str]]:
    """The table as text: its header, then a line a row."""
    return [_header(ranking), *(_cells(ranking, row) for row in ranking.rows)]


def title(ranking: Ranking) -> str:
    return f"{', '.join(ranking.sources)}: {ranking.protocol}"


def notes(ranking: Ranking) -> list[str]:
    """What the numbers are, one line a fact."""
    facts = [
        f"{ranking.metric.capitalize()} in percent, mean over groups, with {100 * ranking.level:g}% interval.",
        f"{CONSTANT}: always the label that is more frequent in the group's training clips.",
    ]
    for name, source in ranking.sources.items():
        counts = f"{source['groups']} groups, {source['clips']:,} validation clips"
        facts.append(f"{name}: {counts}, fingerprint {source['fingerprint'][:12]}")
    return facts + ranking.notes


def warning(rankings: list[Ranking]) -> list[str]:
    if len(rankings) == 1:
        return []
    return [f"{len(rankings)} tables: these results are of different data or protocols and can't be ranked together."]


def _as_table(rankings: list[Ranking]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=io.StringIO(), width=10_000, color_system=None)  # never cuts a cell to fit
    for line in warning(rankings):
        console.print(Text(line))
    for ranking in rankings:
        table = Table(title=Text(printable(title(ranking))), title_justify="left")
        header, *rows = _lines(ranking)
        for name in header:
            table.add_column(Text(printable(name)), justify="left" if name == "model" else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console.print(table)
        for line in notes(ranking):
            console.print(Text(printable(line)), soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def _as_markdown(rankings: list[Ranking]) -> str:
    parts = [f"{line}\n" for line in warning(rankings)]
    for ranking in rankings:
        header, *rows = ([_markdown(cell) for cell in line] for line in _lines(ranking))
        rule = ["---" if name == "model" else "---:" for name in _header(ranking)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))
        facts = "\n".join(f"- {_markdown(line)}" for line in notes(ranking))
        parts.append(f"## {_markdown(title(ranking))}\n\n{table}\n\n{facts}\n")
    return "\n".join(parts)


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is: characters that could begin markup or HTML are escaped."""
    return re.sub(r"([\\`*_{}\[\]<>|~&$#])", r"\\\1", printable(text))


def _as_csv(rankings: list[Ranking]) -> str:
    """One row a model, accuracies and interval ends in percent; `table` numbers the rankings, which don't compare."""
    sources = sorted({source for ranking in rankings for source in ranking.sources})
    scored = [*sources, "mean"]
    ends = [f"{name}_{end}" for name in scored for end in ("low", "high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [_csv(name) for name in ["model", "parameters", "dim", *scored, *ends, "table", "protocol", "fingerprints"]]
    )
    for number, ranking in enumerate(rankings, start=1):
        fingerprints = " ".join(f"{name}={source['fingerprint']}" for name, source in ranking.sources.items())
        for row in ranking.rows:
            scores = [row.scores.get(source) for source in sources] + [row.mean]
            accuracies = ["" if score is None else _number(score["accuracy"]) for score in scores]
            intervals = [score and score["interval"] for score in scores]
            limits = [_number(interval[end]) if interval else "" for interval in intervals for end in (0, 1)]
            cells = [row.model, row.parameters, row.dim, *accuracies, *limits, number, ranking.protocol, fingerprints]
            writer.writerow([_csv(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def _number(fraction: float) -> str:
    return f"{100 * fraction:.4f}"


def _csv(text: str) -> str:
    """Text that no spreadsheet takes for a formula: one that begins like a formula gets an apostrophe in front."""
    text = printable(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _as_page(rankings: list[Ranking]) -> str:
    from cia_bench.leaderboard.html import as_html  # which uses this module

    return as_html(rankings)


FORMATS = {"table": _as_table, "md": _as_markdown, "csv": _as_csv, "html": _as_page}
