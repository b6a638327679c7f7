import os
import pty
import subprocess
import sys

from cia_bench import progress

STAGE = """
import time
from cia_bench.progress import shown
with shown("extract pixels", 4, "clips") as advance:
    for _ in range(2):
        time.sleep(0.2)
        advance(2)
"""


def test_without_a_terminal_a_line_now_and_then_says_how_far_and_how_long(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0)
    with progress.shown("extract pixels", 4, "clips") as advance:
        advance(1)
        advance(3)
    now, end = capsys.readouterr().err.splitlines()
    assert now.startswith("extract pixels: 1/4, ") and " clips/s, " in now and now.endswith(" s left")
    assert end.startswith("extract pixels: 4/4, ") and end.endswith(" s")


def test_a_quick_stage_says_only_how_it_ended(capsys):
    with progress.shown("extract pixels", 2, "clips") as advance:
        advance(2)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stage_that_fails_does_not_claim_to_have_ended(capsys):
    try:
        with progress.shown("extract pixels", 2, "clips"):
            raise KeyError
    except KeyError:
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar_with_the_rate(tmp_path):
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    run = subprocess.run([sys.executable, "-c", STAGE], stderr=its_end, env=environment, check=True)
    os.close(its_end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert run.returncode == 0
    assert "extract pixels" in shown and "2/4" in shown and "4/4" in shown and "clips/s" in shown


def test_in_python_nothing_is_shown_by_default(capsys):
    with progress.silent("extract pixels", 2, "clips") as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")
