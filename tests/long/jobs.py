"""What tests/long/test_workers.py has workers do: answer, die, hang and raise. Imported by each worker, so light."""

import ctypes
import os
import signal
import time
from pathlib import Path

from cia_bench.errors import DecodeError


def square(number: int) -> int:
    return number * number


def late_square(number: int) -> int:
    time.sleep(0.2 if number % 3 == 0 else 0)
    return number * number


def process_of(_: object) -> int:
    return os.getpid()


def die(job: object) -> object:
    """Die as the job says, or return it."""
    if job == "abort":
        os.abort()
    if job == "segfault":
        ctypes.string_at(0)
    if job == "kill":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    if job == "exit":
        os._exit(3)
    return job


def hang(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def hang_and_tell(_: object) -> int:
    time.sleep(0.3)
    return os.getpid()


def refuse(job: int) -> int:
    if job == 3:
        raise DecodeError("three")
    return job


def note_and_hang(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(1000)


def note_and_hang_after(folder: Path | None) -> None:
    if folder is not None:
        note_and_hang(folder)


def ignores_interrupt(_: object) -> bool:
    os.kill(os.getpid(), signal.SIGINT)
    return True
