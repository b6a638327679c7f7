"""Run `cia`, and kill -9 it at a moment that no clock tells: as it is about to do or to write something.

    python killed_cia.py FOLDER acts|writes NUMBER DELAY_S ARGUMENT...

NUMBER counts what Python audits: all it does ("acts"), or each making, opening, renaming and removing below FOLDER
("writes"). The kill comes DELAY_S seconds later, whatever is going on by then. Number 0 kills never: the last line
printed then says how many acts came before the first write, and how many writes there were.
"""

import os
import signal
import sys
import threading
from pathlib import Path

folder, kind, number, delay_s, *arguments = sys.argv[1:]
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
FOLDER, NUMBER, DELAY_S = os.path.abspath(folder), int(number), float(delay_s)
counts, before_writing = {"acts": 0, "writes": 0}, []


def writes(event: str, arguments: tuple) -> bool:
    """Whether an audited event changes something below the folder, or is about to."""
    if event == "open":
        path, _, flags = arguments
        return bool(flags & (os.O_WRONLY | os.O_RDWR)) and is_below(path)
    return event in CHANGES and any(map(is_below, arguments))


def is_below(path: object) -> bool:
    return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(FOLDER)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count(event: str, arguments: tuple) -> None:
    counts["acts"] += 1
    happened = {"acts"}
    if writes(event, arguments):
        counts["writes"] += 1
        before_writing.append(counts["acts"])
        happened.add("writes")
    if kind in happened and counts[kind] == NUMBER:
        threading.Timer(DELAY_S, kill).start() if DELAY_S else kill()


if __name__ == "__main__":
    sys.argv = [str(Path(sys.executable).parent / "cia"), *arguments]
    sys.addaudithook(count)
    from cia_bench.cli import main

    try:
        main()
    finally:
        print(before_writing[0] if before_writing else counts["acts"], counts["writes"])
