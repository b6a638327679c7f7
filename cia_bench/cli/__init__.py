"""The command `cia`: options in, library call, outcome printed.

Stages are imported inside their command, so that `cia --help` stays light.
"""

from cia_bench.cli import building, drawing, embedding, ranking, reviewing, scoring
from cia_bench.cli.group import main

__all__ = ["building", "drawing", "embedding", "main", "ranking", "reviewing", "scoring"]
