"""A leaderboard's LaTeX goes through a real LaTeX, whatever strangers called their models."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from test_leaderboard import HOSTILE, make_record, rankings_of
from test_leaderboard_formats import CIA, SPREADSHEET, TEX, WEB

from cia_bench.leaderboard.arranging import with_published
from cia_bench.leaderboard.export import export

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage[margin=1cm,landscape,a3paper]{geometry}
\begin{document}
%s
\end{document}
"""


def test_tables_with_hostile_names_compile_and_run_nothing(tmp_path):
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex here: Debian's texlive-latex-recommended has one")
    (tmp_path / "secret.tex").write_text(r"\typeout{LEAKED}")
    names = [*HOSTILE, *SPREADSHEET, *TEX, *WEB, r"\input{secret}", r"}\input secret {", "%", r"\\", r"\end{table}"]
    rankings = rankings_of(
        tmp_path / "results", *(make_record(name, CIA, [0.7, 0.6, 0.5]) for name in names)
    ) + with_published(rankings_of(tmp_path / "others", make_record("m", CIA, [0.7, 0.6, 0.5])))
    rankings = [
        replace(ranking, notes=[*ranking.notes, *names], rows=[replace(row, tie_group=28) for row in ranking.rows])
        for ranking in rankings
    ]
    (tmp_path / "board.tex").write_text(DOCUMENT % export(rankings, "latex"), encoding="utf-8")
    command = [latex, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert run.returncode == 0, run.stdout[-3000:]
    log = (tmp_path / "board.log").read_text(errors="replace")
    assert "LEAKED" not in log and "secret.tex" not in log and "Undefined control sequence" not in log
    assert "Missing character" not in log and (tmp_path / "board.pdf").stat().st_size > 10_000
