"""Call a function in worker processes, where a call that crashes or hangs costs nothing but itself.

Each worker has a pipe of its own: one that is killed in the middle of an answer leaves no lock taken and no half
message in the way of the others. (Pools that share a pipe, as concurrent.futures and pebble do, break or wait then.)
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cia_bench.errors import DecodeError, WorkerError

START_S = 300  # for a worker to come up, imports on a busy machine included
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"  # safe beside CUDA
one_at_a_time = threading.Lock()  # multiprocessing reads a process's exit code once, and any start may be the reader


@dataclass(frozen=True)
class Lost:
    """What there is in place of an answer that never came."""

    end: str | None  # of the worker, as "signal 9"; None if it took too long

    def while_decoding(self, path: Path, limit_s: float) -> DecodeError:
        """What is to be told of a video whose decoding is lost."""
        why = f"the decoder died on it ({self.end})" if self.end else f"decoding took more than {limit_s:g} s"
        return DecodeError(f"{path}: {why}")


class Worker:
    """A process that calls `function` for one job at a time; started when first needed, and again after a lost job."""

    def __init__(self, function: Callable[[Any], Any], stopped: threading.Event):
        self.function, self.stopped = function, stopped
        self.process = self.connection = None

    def call(self, job: Any, limit_s: float) -> Any:
        """The function's answer, or Lost if the process died or took longer than `limit_s`, for which it is killed.

        Raises what the function raised, and WorkerError if no process could be started.
        """
        if self.stopped.is_set():
            return Lost(None)
        if self.process is None:
            self._start()
        try:
            self.connection.send(job)
            if not self.connection.poll(limit_s):
                self._end(wait_s=0)
                return Lost(None)
            returned, answer = self.connection.recv()
        except (EOFError, OSError):
            return Lost(self._end())
        if not returned:
            raise answer
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context(METHOD)
        self.connection, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.function), daemon=True)
        with one_at_a_time:
            context.set_forkserver_preload([self.function.__module__])  # imported once, then shared by all workers
            process.start()
        theirs.close()
        self.process = process
        if self.stopped.is_set():
            self.kill()
        try:
            ready = self.connection.poll(START_S) and self.connection.recv()
        except (EOFError, OSError):
            ready = False
        if not ready:
            raise WorkerError(
                f"a worker process did not start ({self._end()}); a script that calls cia_bench must do so below "
                "`if __name__ == '__main__':`"
            )

    def kill(self) -> None:
        """Kill the process, if there is one, whatever it does."""
        process = self.process  # its thread may take it away meanwhile
        if process is not None:
            process.kill()

    def _end(self, wait_s: float = 1.0) -> str:
        """Let the process end, kill it after `wait_s`, and say how it ended: one that is dying has its own reason."""
        process, self.process = self.process, None
        self.connection.close()
        with one_at_a_time:
            process.join(wait_s)
            process.kill()
            process.join()
        code = process.exitcode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End the process, if there is one; no call may be under way."""
        if self.process is not None:
            self._end(wait_s=0)


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """In a worker: answer jobs until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection.send(True)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_answer(function, job))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)  # also out of a call that never returns


def _answer(function: Callable[[Any], Any], job: Any) -> tuple[bool, Any]:
    """Whether the function returned, and what it returned or raised."""
    try:
        return True, function(job)
    except Exception as error:
        return False, error


def prepare() -> None:
    """Start what multiprocessing starts before its first worker, which it can't while Textual stands in for stderr."""
    if METHOD == "forkserver":
        with contextlib.redirect_stderr(sys.__stderr__):
            resource_tracker.ensure_running()


def call_ahead(
    function: Callable[[Any], Any], jobs: Iterable, workers: int, limit_s: float, ahead: int
) -> Iterator[Any | Lost]:
    """Yield the function's answer for each job, in their order, or Lost; the next `ahead` jobs are being worked on.

    The function is one of a module's, that a worker process imports. A worker that dies or takes longer than `limit_s`
    for a job loses that job alone. Close the iterator (contextlib.closing) if it may not be read to its end: no worker
    outlives it, nor a parent that is killed.

    Raises what the function raised for a job when its turn comes, and WorkerError if no worker could be started.
    """
    stopped = threading.Event()
    crew = [Worker(function, stopped) for _ in range(workers)]
    idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one that worked last first: few jobs start few workers
    for worker in crew:
        idle.put(worker)

    def call(job: Any) -> Any:
        worker = idle.get()
        try:
            return worker.call(job, limit_s)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(workers)  # each waits for one worker
    waiting: deque = deque()
    try:
        for job in jobs:
            waiting.append(threads.submit(call, job))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stopped.set()
        for worker in crew:
            worker.kill()
        threads.shutdown(cancel_futures=True)
        for worker in crew:
            worker.close()
