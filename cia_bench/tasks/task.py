"""A standard benchmark: videos of one class each, and its owner's splits of them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Task:
    """What is scored: a row of `clips` is a video in one of the splits, and a split is a group of its own."""

    name: str  # as in its clips' source; for a plain folder, the folder's name
    kind: str  # in TASKS
    classes: tuple[str, ...]  # by number
    clips: pd.DataFrame  # columns of tables.TASK_CLIPS, sorted by its key
    videos: Path
