"""A leaderboard's LaTeX goes through a real LaTeX, whatever strangers called their models."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_tasks import write_published_like
from test_leaderboard import HOSTILE, make_record, rankings_of
from test_leaderboard_formats import CIA, SPREADSHEET, TEX, WEB

from cia_bench.leaderboard.arranging import with_published
from cia_bench.leaderboard.export import export
from cia_bench.leaderboard.table import rank, read_results

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage[margin=1cm,landscape,a3paper]{geometry}
\begin{document}
%s
\end{document}
"""


def compiled(latex: str, folder: Path, tables: str) -> str:
    """The log of a LaTeX that made board.pdf of tables in `folder`."""
    (folder / "board.tex").write_text(DOCUMENT % tables, encoding="utf-8")
    command = [latex, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert run.returncode == 0, run.stdout[-3000:]
    return (folder / "board.log").read_text(errors="replace")


def find_latex() -> str:
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex here: Debian's texlive-latex-recommended has one")
    return latex


def test_tables_with_hostile_names_compile_and_run_nothing(tmp_path):
    latex = find_latex()
    (tmp_path / "secret.tex").write_text(r"\typeout{LEAKED}")
    names = [*HOSTILE, *SPREADSHEET, *TEX, *WEB, r"\input{secret}", r"}\input secret {", "%", r"\\", r"\end{table}"]
    rankings = rankings_of(
        tmp_path / "results", *(make_record(name, CIA, [0.7, 0.6, 0.5]) for name in names)
    ) + with_published(rankings_of(tmp_path / "others", make_record("m", CIA, [0.7, 0.6, 0.5])))
    rankings = [
        replace(ranking, notes=[*ranking.notes, *names], rows=[replace(row, tie_group=28) for row in ranking.rows])
        for ranking in rankings
    ]
    log = compiled(latex, tmp_path, export(rankings, "latex"))
    assert "LEAKED" not in log and "secret.tex" not in log and "Undefined control sequence" not in log
    assert "Missing character" not in log and (tmp_path / "board.pdf").stat().st_size > 10_000


def test_standard_benchmarks_with_hostile_names_compile_too(tmp_path):
    latex = find_latex()
    names = iter(3 * [*HOSTILE, *SPREADSHEET, *TEX, *WEB])
    rankings = with_published(rank(read_results([write_published_like(tmp_path / "results")])))
    hostile = [
        replace(
            ranking,
            task="mine",
            sources={next(names): one for one in ranking.sources.values()},
            rows=[replace(row, model=f"{next(names)}+{row.model}", tie_group=28) for row in ranking.rows],
        )
        for ranking in rankings
    ]
    log = compiled(latex, tmp_path, export([*rankings, *hostile], "latex"))
    assert "Undefined control sequence" not in log and "Missing character" not in log and "Overfull \\hbox" not in log
    assert (tmp_path / "board.pdf").stat().st_size > 10_000
