"""Say how far a long stage is: a bar on a terminal, now and then a line elsewhere.

A stage takes `progress`, a function of a label, a total and a unit that gives a context manager; that gives `advance`,
to be called with how much more is done, and a note on how it goes if there is a new one. `silent` shows nothing and is
the default in Python; the commands pass `shown`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Says how much more is done, and how it goes."""

    def __call__(self, count: int, note: str = "") -> None: ...


Progress = Callable[[str, int, str], AbstractContextManager[Advance]]
LINE_EVERY_S = 10.0  # where there is no terminal


@contextmanager
def silent(label: str, total: int, unit: str) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda count, note="": None


def shown(label: str, total: int, unit: str) -> AbstractContextManager[Advance]:
    """Show `label`, how much of `total` is done, how fast, how long the rest takes and the last note, on stderr."""
    return (_bar if sys.stderr.isatty() else _lines)(label, total, unit)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Bar(progress.Progress):
        """A line with the bar, and the note on one of its own: beside the bar it would push the numbers out."""

        def get_renderables(self):
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                if task.fields["note"]:
                    yield Text(task.fields["note"], no_wrap=True, overflow="ellipsis")

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(None),  # as wide as the numbers leave it
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bar(*columns, console=Console(stderr=True), expand=True) as bar:
        task, started = bar.add_task(label, total=total, rate="", note=""), time.perf_counter()
        done = 0

        def advance(count: int, note: str = "") -> None:
            nonlocal done
            done += count
            bar.update(task, advance=count, rate=_rate(done, time.perf_counter() - started, unit))
            if note:
                bar.update(task, note=note)

        yield advance


@contextmanager
def _lines(label: str, total: int, unit: str) -> Iterator[Advance]:
    started = said = time.perf_counter()
    done, last = 0, ""

    def advance(count: int, note: str = "") -> None:
        nonlocal done, said, last
        done += count
        last = f"; {note}" if note else last
        now = time.perf_counter()
        if now - said >= LINE_EVERY_S and 0 < done < total:
            said = now
            rate, left_s = _rate(done, now - started, unit), (total - done) * (now - started) / done
            print(f"{label}: {done}/{total}, {rate}, {left_s:.0f} s left{last}", file=sys.stderr)

    yield advance
    spent_s = time.perf_counter() - started
    print(f"{label}: {done}/{total}, {_rate(done, spent_s, unit)}, {spent_s:.0f} s{last}", file=sys.stderr)


def _rate(done: int, spent_s: float, unit: str) -> str:
    return f"{done / max(spent_s, 1e-9):.1f} {unit}/s"
