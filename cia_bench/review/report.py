"""Write how far a review is, and how far its reviewers agree, for a terminal of 80 columns."""

import io
from collections.abc import Sequence

from cia_bench.errors import printable
from cia_bench.review.agreement import Agreement, Disagreement, agreements, disagreements, words_of
from cia_bench.review.journal import SHIPPED
from cia_bench.review.reviewed import Reviewed
from cia_bench.review.status import SAID, counts_of, outcome_of

WIDTH = 80


def status_text(reviewed: Sequence[Reviewed], reviewer: str | None = None) -> str:
    """Of each source a table of what its reviewers, or the one named, said, and how many candidates are decided."""
    lines = []
    for of_source in reviewed:
        reviewers = [name for name in of_source.reviewers() if reviewer in (None, name)]
        counts = {name: counts_of(of_source, name) for name in reviewers}
        rows = [[name, *(str(counts[name][kind]) for kind in SAID)] for name in reviewers]
        lines += _table(of_source.source, ["reviewer", *SAID], rows, names=1)
        lines += _outcome_lines(of_source)
    return _text(lines)


def _outcome_lines(reviewed: Reviewed) -> list[str]:
    found = outcome_of(reviewed)
    lines = [
        f"candidates: {found.candidates:,}, of which {found.ready:,} ready for review",
        f"of these: {found.decided:,} decided, {found.undecided:,} undecided, {found.conflict:,} in conflict",
    ]
    if found.decided_unready:
        lines.append(f"decided, but not ready: {found.decided_unready:,}")
    return lines


def agreement_text(reviewed: Sequence[Reviewed], reviewer: str | None = None) -> str:
    """A table of each two reviewers, all or those with the one named, over all sources; then where they differ."""
    words = {group_id: said for of_source in reviewed for group_id, said in words_of(of_source).items()}
    pairs = [pair for pair in agreements(words) if reviewer in (None, pair.one, pair.other)]
    differ = [
        case for of_source in reviewed for case in disagreements(of_source) if reviewer is None or reviewer in case.said
    ]
    sources = ", ".join(of_source.source for of_source in reviewed)
    header = ["one", "other", "both decided", "agree", "kappa", "95% interval"]
    lines = _table(sources, header, [_pair_cells(pair) for pair in pairs], names=2)
    if not pairs:
        lines.append("no two reviewers decided on the same candidate")
    if any(pair.kappa is None for pair in pairs):
        lines.append("kappa is undefined where each of the two says one word all the time")
    lines.append(f"candidates on which they differ: {len(differ):,}")
    return _text(lines + [line for case in differ for line in _case_lines(case)])


def _pair_cells(pair: Agreement) -> list[str]:
    share = f"{100 * pair.agreed / pair.n:.1f}%"
    if pair.kappa is None:
        return [pair.one, pair.other, f"{pair.n:,}", share, "undefined", ""]
    return [pair.one, pair.other, f"{pair.n:,}", share, f"{pair.kappa:.2f}", "[{:.2f}, {:.2f}]".format(*pair.interval)]


def _case_lines(case: Disagreement) -> list[str]:
    outcome = f"overrules {SHIPPED}"  # the only way to differ and be decided without a final
    if case.settled_by:
        outcome = f"settled by the final of {case.settled_by}"
    elif case.status == "conflict":
        outcome = "not settled"
    said = [f"    {name}: {words}" for name, words in case.said.items()]
    return [f"  {case.group_id}: {case.status}, {outcome}", *said]


def _table(title: str, header: list[str], rows: list[list[str]], names: int) -> list[str]:
    """A table with its title, as lines; the first `names` columns are names, which wrap, the others numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    table = Table(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for place, name in enumerate(header):
        is_name = place < names
        table.add_column(name, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def _text(lines: list[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)
