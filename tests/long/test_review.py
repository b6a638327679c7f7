"""What a review says is never lost: by two reviewers at once, killed at any moment, on a full or a read-only disk."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cia_bench.review.journal import read_journal
from cia_bench.review.session import Session

DECIDE = """
import sys
from pathlib import Path
from cia_bench.review.session import Session

data, reviewer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
session = Session(data, reviewer=reviewer)
session.show("all")
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    session.go(number % len(session.shown))
    assert session.decide(("accept", "reject", "unsure")[number % 3], f"{reviewer} {number}"), session.problem
    print(number, flush=True)
"""
DECISIONS = 500  # of each of two reviewers
KILLS = 30


def start(data: Path, reviewer: str, count: int) -> subprocess.Popen:
    """A process that opens a session, waits for a line, decides, and prints a number after each decision."""
    command = [sys.executable, "-c", DECIDE, str(data), reviewer, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_reviewers_who_decide_at_once_lose_nothing(data):
    both = [start(data, reviewer, DECISIONS) for reviewer in ("ann", "ben")]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        assert process.communicate()[0].split() == [str(number) for number in range(DECISIONS)]
        assert process.returncode == 0
    lines = read_journal(data / "verdicts" / "epic.jsonl")
    for reviewer in ("ann", "ben"):
        said = [line.reason for line in lines if line.reviewer == reviewer]
        assert said == [f"{reviewer} {number}" for number in range(DECISIONS)]
    turns = sum(one.reviewer != other.reviewer for one, other in zip(lines, lines[1:], strict=False))
    assert len(lines) == 2 * DECISIONS and turns > 20, "they were at work at the same time"


def test_a_session_that_is_killed_loses_nothing_decided(data):
    dice, journal, told = random.Random(0), data / "verdicts" / "epic.jsonl", 0
    for number in range(KILLS):
        process = start(data, f"r{number}", 10_000)
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
        decided = process.communicate()[0].split()
        said = [line.reason for line in read_journal(journal) if line.reviewer == f"r{number}"]
        assert said[: len(decided)] == [f"r{number} {place}" for place in decided]
        assert len(said) <= len(decided) + 1, "at most one that it had no time to tell"
        told += len(decided)
    assert told > KILLS, "some were killed in the middle of deciding"


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_on_a_full_disk_decisions_wait_until_there_is_room(data, disk):
    journal = disk / "epic.jsonl"
    session = Session(data, verdicts=journal, reviewer="ann")
    assert session.decide("accept")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(1024))
    reason = "so it is " * 800  # more than what is left of the journal's last block
    assert not session.comment(reason) and "No space left on device" in session.problem
    assert not session.decide("reject") and len(session.pending) == 2
    assert [line.verdict for line in read_journal(journal)] == ["accept"]
    filler.unlink()
    assert session.flush() and session.problem is None
    assert [line.verdict for line in read_journal(journal)] == ["accept", "comment", "reject"]


def test_on_a_read_only_disk_a_review_opens_and_its_decisions_wait(data, disk):
    journal = disk / "epic.jsonl"
    assert Session(data, verdicts=journal, reviewer="ann").decide("accept")
    journal.write_bytes(journal.read_bytes() + b'{"group_id')
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    session = Session(data, verdicts=journal, reviewer="ann")
    assert session.progress().decided == 1 and "Read-only file system" in session.notes[0]
    assert not session.decide("unsure") and "Read-only file system" in session.problem
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert session.flush()
    assert [line.verdict for line in read_journal(journal)] == ["accept", "unsure"]
