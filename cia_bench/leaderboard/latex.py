"""Write rankings as LaTeX tables, for packages booktabs and (in pdfLaTeX) fontenc T1; names are escaped."""

from cia_bench.errors import printable
from cia_bench.leaderboard.columns import Column, columns_of
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.wording import status, warning

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": "{-}", "–": "--", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
COLUMNS = ("parameters", "embedding", "gain", "flip rate", "rank")  # beside the scores, in this order before and after
BEST = ("gain",)  # beside the scores, columns whose best is bold


def as_latex(rankings: list[Ranking]) -> str:
    r"""A table environment a ranking: the best of each column bold, and a letter by each mean for its tie group."""
    head = ["% needs \\usepackage{booktabs}, and with pdfLaTeX \\usepackage[T1]{fontenc} and {textcomp}"]
    head += [f"% {line}" for line in warning(rankings)]
    return "\n".join([*head, *map(_table, rankings)]) + "\n"


def latex(text: str) -> str:
    """Text that LaTeX prints as it is; characters beyond ASCII, which fonts may lack, as U+ and their number."""
    return "".join(_character(character) for character in printable(text))


def _character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    return character if character.isascii() else f"U+{ord(character):04X}"


def _table(ranking: Ranking) -> str:
    columns = sorted((c for c in columns_of(ranking) if c.score or c.name in COLUMNS), key=_place)
    best = {column.name: _best(column, ranking) for column in columns if column.score or column.name in BEST}
    header = " & ".join(["model", *(latex(column.name) for column in columns)])
    lines: list[str] = []
    apart = ranking.rows[-1].reported  # published numbers, below all others
    for row in ranking.rows:
        if row.constant or (lines and row.reported and apart):
            lines.append(r"\midrule")
            apart = apart and row.constant
        cells = [_cell(column, row, ranking, best.get(column.name)) for column in columns]
        lines.append(" & ".join([_name(row), *cells]) + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(ranking)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
            r"\toprule",
            header + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _place(column: Column) -> int:
    return 2 if column.score else (0, 1, 3, 4, 5)[COLUMNS.index(column.name)]


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
    n = ", ".join(
        f"{name} (n = {source['clips']:,} validation clips of {source['groups']} groups, "
        f"fingerprint {source['fingerprint'][:12]})"
        for name, source in ranking.sources.items()
    )
    parts = [f"{ranking.metric.capitalize()} in percent, {ranking.protocol}, mean over groups, on {n}."]
    parts.append(f"Brackets: {100 * ranking.level:g}% interval. Bold: the best of a column.")
    if any(row.tie_group for row in ranking.rows):
        alpha = f"{1 - ranking.level:.2g}"
        parts.append(f"Models with one letter can't be told from the first of them (all pairs, Holm, p > {alpha}).")
    if any(row.reported for row in ranking.rows):
        parts.append("Reported: published, not measured here.")
    if any(row.verified is False for row in ranking.rows):
        parts.append("Unverified: submitted without embeddings.")
    return " ".join(map(latex, [*parts, *(f"{note}." for note in ranking.notes)]))
