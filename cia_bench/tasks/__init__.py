"""Standard benchmarks by name: what their owners' split files say."""

from cia_bench.tasks.task import Task

__all__ = ["Task"]
