"""Write rankings as LaTeX tables, for packages booktabs and (in pdfLaTeX) fontenc T1; names are escaped."""

from collections.abc import Iterable

from cia_bench.errors import printable
from cia_bench.leaderboard.columns import Column, columns_of
from cia_bench.leaderboard.overview import (
    Line,
    Overview,
    differences_in_words,
    overview_notes,
    overview_title,
    scores_in_words,
    with_overviews,
)
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.terms import terms_of
from cia_bench.leaderboard.wording import averaged, counts, status, warning

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": "{-}", "–": "--", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
BEFORE = ("parameters", "embedding")  # columns left of the scores, in this order, and right of them
AFTER = ("top-5", "per class", "gain", "flip rate", "rank")
BEST = ("top-5", "per class", "gain")  # beside the scores, columns whose best is bold


def as_latex(rankings: list[Ranking]) -> str:
    r"""A table environment a ranking: the best of each column bold, and a letter by each mean for its tie group.

    Standard benchmarks have one more for all tasks of a probe.
    """
    head = ["% needs \\usepackage{booktabs}, and with pdfLaTeX \\usepackage[T1]{fontenc} and {textcomp}"]
    head += [f"% {line}" for line in warning(rankings)]
    shown = with_overviews(rankings)
    return "\n".join([*head, *(_tasks(one) if isinstance(one, Overview) else _table(one) for one in shown)]) + "\n"


def latex(text: str) -> str:
    """Text that LaTeX prints as it is; characters beyond ASCII, which fonts may lack, as U+ and their number."""
    return "".join(_character(character) for character in printable(text))


def _character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    return character if character.isascii() else f"U+{ord(character):04X}"


def _table(ranking: Ranking) -> str:
    columns = sorted((c for c in columns_of(ranking) if c.score or c.name in BEFORE + AFTER), key=_place)
    best = {column.name: _best(column, ranking) for column in columns if column.score or column.name in BEST}
    lines: list[str] = []
    apart = ranking.rows[-1].reported  # published numbers, below all others
    for row in ranking.rows:
        if row.constant or (lines and row.reported and apart):
            lines.append(r"\midrule")
            apart = apart and row.constant
        cells = [_cell(column, row, ranking, best.get(column.name)) for column in columns]
        lines.append(_row(_name(row), cells))
    return _environment(_caption(ranking), [column.name for column in columns], lines)


def _environment(caption: str, columns: list[str], lines: list[str]) -> str:
    """A table with a column of models and others by their names; `caption` and `lines` are LaTeX already."""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
            r"\toprule",
            _row("model", map(latex, columns)),
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _row(name: str, cells: Iterable[str]) -> str:
    return " & ".join([name, *cells]) + r" \\"


def _place(column: Column) -> int:
    if column.score:
        return len(BEFORE)
    return BEFORE.index(column.name) if column.name in BEFORE else 1 + len(BEFORE) + AFTER.index(column.name)


def _name(row: Row) -> str:
    return latex(row.model) + (rf" \emph{{({status(row)})}}" if status(row) else "")


def _best(column: Column, ranking: Ranking) -> str | None:
    """What the best measured row shows, as it is printed: rows that print the same are all best."""
    values = [(column.value(row), row) for row in ranking.rows if row.measured and column.value(row) is not None]
    return _short(column, max(values, key=lambda pair: pair[0])[1]) if values else None


def _short(column: Column, row: Row) -> str:
    return "" if column.value(row) is None else column.text(row).partition(" [")[0]


def _cell(column: Column, row: Row, ranking: Ranking, best: str | None) -> str:
    text = latex(_short(column, row))
    if text and row.measured and best == _short(column, row):
        text = rf"\textbf{{{text}}}"
    if column.score == _headline(ranking) and text:
        interval = column.text(row).partition(" [")
        text += rf" {{\scriptsize {latex(interval[1].strip() + interval[2])}}}" if interval[1] else ""
        text += rf"\textsuperscript{{{_letter(row.tie_group)}}}" if row.tie_group else ""
    return text


def _headline(ranking: Ranking) -> str:
    return "mean" if len(ranking.sources) > 1 else next(iter(ranking.sources))


def _letter(number: int) -> str:
    """1 is a, 26 z, 27 aa."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _caption(ranking: Ranking) -> str:
    terms = terms_of(ranking.protocol_name)
    of = {name: counts(source, terms) for name, source in ranking.sources.items()}
    n = ", ".join(
        f"{name} (n = {clips} of {', '.join([groups, *classes])}, fingerprint "
        f"{ranking.sources[name]['fingerprint'][:12]})"
        for name, (groups, clips, *classes) in of.items()
    )
    parts = [f"{ranking.metric.capitalize()} in percent, {ranking.protocol}{averaged(ranking)}, on {n}."]
    parts.append(f"Brackets: {100 * ranking.level:g}% interval. Bold: the best of a column.")
    if any(row.tie_group for row in ranking.rows):
        alpha = f"{1 - ranking.level:.2g}"
        parts.append(f"Models with one letter can't be told from the first of them (all pairs, Holm, p > {alpha}).")
    if any(row.reported for row in ranking.rows):
        parts.append("Reported: published, not measured here.")
    if any(row.verified is False for row in ranking.rows):
        parts.append("Unverified: submitted without embeddings.")
    return " ".join(map(latex, [*parts, *(f"{note}." for note in ranking.notes)]))


# the standard benchmarks side by side


def _tasks(overview: Overview) -> str:
    """Scores without intervals, the best measured one of each task bold; differences with theirs."""
    best = [_best_of_task(overview, place) for place in range(len(overview.columns))]
    lines: list[str] = []
    for line in overview.lines:
        if lines and not (line.base or line.constant):
            lines.append(r"\addlinespace")
        lines.append(_row(_named(line), map(_score, _scores(line), best, [line.reported] * len(best))))
        if line.base:
            lines.append(_row(rf"\quad minus {latex(line.base)}", map(_scriptsize, differences_in_words(line))))
    facts = [overview_title(overview), *overview_notes(overview, with_intervals=False), "Bold: the best of a column"]
    caption = " ".join(latex(f"{fact.removesuffix('.')}.") for fact in facts)
    return _environment(caption, [column.name for column in overview.columns], lines)


def _named(line: Line) -> str:
    return latex(line.model) + (r" \emph{(reported)}" if line.reported else "")


def _scores(line: Line) -> list[str]:
    return [cell.partition(" [")[0] for cell in scores_in_words(line)]


def _best_of_task(overview: Overview, place: int) -> str | None:
    """What the best measured model of a column shows, as it is printed."""
    measured = [line for line in overview.lines if not (line.reported or line.constant) and line.scores[place]]
    best = max(measured, key=lambda line: line.scores[place]["accuracy"], default=None)
    return best and _scores(best)[place]


def _score(text: str, best: str | None, reported: bool) -> str:
    return rf"\textbf{{{latex(text)}}}" if text and text == best and not reported else latex(text)


def _scriptsize(text: str) -> str:
    return rf"{{\scriptsize {latex(text)}}}" if text else ""
