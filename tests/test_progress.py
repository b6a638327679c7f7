import os
import pty
import re
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


NOTED = """
import time
from cia_bench.progress import shown
with shown("train lift", 277695, "videos") as advance:
    for _ in range(5):
        time.sleep(0.1)
        advance(40_000)
    advance(0, "epoch 118: loss 0.1170, reconstruction 0.1156, orthogonality 0.0137; held out 0.1")
    time.sleep(0.2)
"""


def test_on_a_narrow_terminal_numbers_and_note_are_whole(tmp_path):
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", NOTED], stderr=its_end, env=environment, check=True)
    os.close(its_end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert re.search(r"train lift \S*━\S* +200000/277695 \d+\.\d videos/s \d:\d\d:\d\d", shown), shown
    assert "orthogonality 0.0137; held out " in shown  # and then an ellipsis


def test_the_last_note_ends_the_lines_without_a_terminal(capsys):
    with progress.shown("train lift", 2, "videos") as advance:
        advance(2, "epoch 1")
        advance(0, "epoch 2")
    assert capsys.readouterr().err.endswith(" s; epoch 2\n")


def test_in_python_nothing_is_shown_by_default(capsys):
    with progress.silent("extract pixels", 2, "clips") as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")
