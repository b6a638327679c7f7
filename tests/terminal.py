"""Run a command in a real terminal, a pseudo one, and press keys once something is shown."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path


def played(
    command: list, keys: list[tuple[bytes, bytes]], columns: int, lines: int, cwd: Path | None = None
) -> tuple[bytes, int]:
    """All that a command showed, and its exit status; each of `keys` is what to wait for and what to press then."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)}
    run = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=cwd)
    os.close(follower)
    shown, waiting = b"", list(keys)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 0.1)[0]:
            continue
        try:
            shown += os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if waiting and waiting[0][0] in shown:
            os.write(leader, waiting.pop(0)[1])
    os.close(leader)
    status = run.wait(10)
    assert not waiting, shown
    return shown, status
