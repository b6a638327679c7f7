import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from jobs import (
    die,
    hang,
    hang_and_tell,
    ignores_interrupt,
    late_square,
    note_and_hang_after,
    process_of,
    refuse,
    square,
)

from cia_bench.errors import DecodeError
from cia_bench.workers import Lost, call_ahead

HERE = Path(__file__).parent
LONG_S = 60.0


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_soon(true, what: str, wait_s: float = 30) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def assert_all_end(pids: set[int]) -> None:
    assert_soon(lambda: not any(map(lives, pids)), f"some of {pids} live on")


def test_answers_come_in_the_order_of_the_jobs():
    for workers in (1, 2, 5):
        answers = call_ahead(late_square, range(12), workers, LONG_S, ahead=4)
        assert list(answers) == [number * number for number in range(12)]


def test_no_job_needs_no_worker():
    assert list(call_ahead(square, [], 2, LONG_S, ahead=4)) == []


def test_jobs_are_taken_only_so_far_ahead_of_the_answers():
    taken = []

    def jobs():
        for number in range(100):
            taken.append(number)
            yield number

    with closing(call_ahead(square, jobs(), 2, LONG_S, ahead=5)) as answers:
        for number in range(20):
            assert next(answers) == number * number
            assert len(taken) == number + 1 + 5


def test_one_job_after_the_other_goes_to_one_worker_and_many_to_all():
    assert len(set(call_ahead(process_of, range(6), 3, LONG_S, ahead=0))) == 1
    started = set(call_ahead(hang_and_tell, range(6), 3, LONG_S, ahead=5))
    assert len(started) == 3 and os.getpid() not in started


@pytest.mark.parametrize(
    ("how", "end"),
    [("abort", "signal 6"), ("segfault", "signal 11"), ("kill", "signal 9"), ("exit", "exit code 3")],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_that_dies_loses_its_job_alone(how, end, workers):
    jobs = ["a", how, "b", how, how, "c"]
    answers = list(call_ahead(die, jobs, workers, LONG_S, ahead=3))
    assert answers == ["a", Lost(end), "b", Lost(end), Lost(end), "c"]


def test_a_job_that_takes_too_long_is_lost_alone():
    started = time.monotonic()
    answers = list(call_ahead(hang, [0, 1000, 0, 1000, 0], 2, 1.5, ahead=4))
    assert answers == [0, Lost(None), 0, Lost(None), 0]
    assert time.monotonic() - started < 40


def test_an_error_of_the_function_comes_when_its_job_has_its_turn():
    answers = call_ahead(refuse, range(6), 2, LONG_S, ahead=5)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DecodeError, match="^three$"):
        next(answers)


def test_no_worker_is_left_at_the_end_nor_after_an_error_nor_when_abandoned():
    pids = set(call_ahead(hang_and_tell, range(4), 2, LONG_S, ahead=4))
    assert_all_end(pids)
    with pytest.raises(KeyboardInterrupt), closing(call_ahead(process_of, range(50), 2, LONG_S, ahead=4)) as answers:
        pids = {next(answers) for _ in range(5)}
        raise KeyboardInterrupt
    assert_all_end(pids)


def test_workers_that_hang_do_not_hold_up_the_end(tmp_path):
    with closing(call_ahead(note_and_hang_after, [None, tmp_path, tmp_path], 2, 1000, ahead=2)) as answers:
        assert next(answers) is None
        assert_soon(lambda: len(list(tmp_path.iterdir())) == 2, "two workers are at work")
        started = time.monotonic()
    assert time.monotonic() - started < 20
    assert_all_end({int(path.name) for path in tmp_path.iterdir()})


def test_workers_leave_ctrl_c_to_the_parent():
    assert list(call_ahead(ignores_interrupt, range(2), 2, LONG_S, ahead=2)) == [True, True]


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import jobs
from cia_bench.workers import call_ahead
print(list(call_ahead(jobs.note_and_hang, [Path(sys.argv[2])] * 3, 2, 1000, ahead=3)))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_however_busy_they_are(end, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, HERE, tmp_path], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    assert_soon(lambda: len(list(tmp_path.iterdir())) == 2, "two workers are at work")
    pids = {int(path.name) for path in tmp_path.iterdir()}
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does
    else:
        process.send_signal(end)
    _, errors = process.communicate(timeout=60)
    assert_all_end(pids)
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt\n") == (end == signal.SIGINT), errors


UNGUARDED = """
import sys
sys.path.insert(0, sys.argv[1])
import jobs
from cia_bench.workers import call_ahead
print(list(call_ahead(jobs.square, [1, 2], 2, 60, ahead=2)))
"""


def test_a_script_that_each_worker_would_run_again_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    run = subprocess.run([sys.executable, script, HERE], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and run.stdout == ""
    assert "WorkerError: a worker process did not start (exit code 1); a script that calls" in run.stderr
    body = UNGUARDED.replace("\nprint", "\nif __name__ == '__main__':\n    print")
    script.write_text(body)
    run = subprocess.run([sys.executable, script, HERE], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("[1, 4]\n", "")
