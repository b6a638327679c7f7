"""`cia review` in a real terminal, on candidates of the real EPIC annotations with rendered clips."""

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from cia_bench.build import build
from cia_bench.review.journal import read_journal
from cia_bench.review.session import Session
from cia_bench.tables import CANDIDATE_CLIPS

CIA = Path(sys.executable).parent / "cia"
RATE = 5  # frames a second of the rendered videos
WAIT_S = 180.0  # on a machine that has other work


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, server: str, command: str, cwd: Path, columns: int, rows: int, **environment: str):
        self.place = ("tmux", "-L", server, "-f", "/dev/null")
        settings = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
        size = ("-x", str(columns), "-y", str(rows))
        # pytest's readline sets the size of its own terminal; the shell stays for what the program leaves on the screen
        run = f"unset COLUMNS LINES; cd {cwd}; {command}; echo ended: $?; sleep 1000"
        self.tmux("new-session", "-d", *size, *settings, run)

    def tmux(self, *arguments: str) -> str:
        run = subprocess.run([*self.place, *arguments], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def screen(self, colours: bool = False) -> str:
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def until(self, said: str | Callable[[str], bool], colours: bool = False) -> str:
        """The screen once it shows a text, or is as it should be."""
        is_so = (lambda screen: said in screen) if isinstance(said, str) else said
        deadline = time.monotonic() + WAIT_S
        while not is_so(screen := self.screen(colours)):
            assert time.monotonic() < deadline, f"no {said!r} on\n{screen}"
            time.sleep(0.05)
        return screen

    def kill(self) -> None:
        subprocess.run([*self.place, "kill-server"], capture_output=True)


@pytest.fixture
def terminal(tmp_path) -> Iterator[Callable[..., Terminal]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened = []

    def open_terminal(command: str, columns: int = 160, rows: int = 48, **environment: str) -> Terminal:
        server = f"cia-{os.getpid()}-{len(opened)}"
        opened.append(Terminal(server, command, tmp_path, columns, rows, COLORTERM="truecolor", **environment))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.kill()


@pytest.fixture
def kitchen(epic100, tmp_path) -> Path:
    """A build of the real annotations, and videos of the first candidate's clips, in which colour shows the time."""
    data = tmp_path / "cia-data"
    build("epic", epic100, data)
    clips = CANDIDATE_CLIPS.read(data / "epic" / "candidate_clips.parquet")
    first = clips[clips.group_id == Session(data, reviewer="ann").items[0].group_id]
    for video, of_video in first.groupby("video"):
        write_video(data / "epic" / "videos" / video, float(of_video.stop_s.max()) + 2)
    return data


def write_video(path: Path, seconds: float) -> None:
    """A video that turns from red to green within each four seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [np.full((48, 64, 3), (250 - 12 * n, 12 * n, 60), np.uint8) for n in range(4 * RATE)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(seconds * RATE)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[number % len(pictures)], "rgb24")))
        container.mux(stream.encode())


def colours(screen: str) -> set[tuple[int, ...]]:
    """The foreground colours of the half blocks on a screen."""
    cells = re.finditer(r"38;2;(\d+);(\d+);(\d+)[;\dm]*(?:\x1b\[[\d;]*m)*▀", screen)
    return {tuple(map(int, cell.groups())) for cell in cells}


def goes_from_red_to_green(screen: str) -> bool:
    strips = colours(screen)
    return any(r > 180 and g < 100 for r, g, b in strips) and any(g > 120 and r < 150 for r, g, b in strips)


def test_a_reviewer_decides_with_strips_leaves_and_comes_back(kitchen, terminal, tmp_path):
    journal = kitchen / "verdicts" / "epic.jsonl"
    first, second, third, *_ = Session(kitchen, reviewer="ann").items
    window = terminal(f"{CIA} review --reviewer ann", XDG_CACHE_HOME=str(tmp_path / "cache"))
    screen = window.until(lambda screen: "0/182" in screen and screen.count("▀") > 500)
    for said in (first.forward, first.reverse, first.noun, first.lexicon_row):
        assert said in screen
    window.until(goes_from_red_to_green, colours=True)
    window.press("a")
    window.until("1/182")
    (line,) = read_journal(journal)
    assert (line.group_id, line.verdict, line.basis) == (first.group_id, "accept", "video")
    window.press("r")
    window.press("Enter")
    window.until("2/182")
    window.press("z")
    window.until(lambda screen: "1/182" in screen)
    window.press("u")
    window.until("2/182")
    window.press("q")
    window.until("ended: 0")
    assert [line.verdict for line in read_journal(journal)] == ["accept", "reject", "retract", "unsure"]
    assert [line.basis for line in read_journal(journal)][1:] == ["text"] * 3, "of the second there is no video"
    again = terminal(f"{CIA} review --reviewer ann", 80, 24)
    screen = again.until("2/182")
    assert third.noun in screen and max(map(len, screen.splitlines())) <= 80


def test_a_terminal_that_is_killed_keeps_every_decision(kitchen, terminal):
    window = terminal(f"{CIA} review --reviewer ann", 80, 24)
    window.until("0/182")
    for number in range(1, 6):
        window.press("a")
        window.until(f"{number}/182")
    window.kill()
    assert len(read_journal(kitchen / "verdicts" / "epic.jsonl")) == 5
    assert Session(kitchen, reviewer="ann").progress().decided == 5


def test_a_review_ends_when_its_terminal_is_gone(kitchen):
    leader, follower = pty.openpty()  # no hang-up is sent for it, as where a session keeps programs alive
    command = [CIA, "review", "--data", kitchen, "--reviewer", "ann"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while b"quit" not in shown:
        shown += os.read(leader, 65536)
    os.close(leader)
    process.wait(30)


def test_without_a_terminal_one_line_points_to_verdicts(kitchen):
    run = subprocess.run([CIA, "review", "--data", kitchen], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "cia verdicts" in run.stderr
