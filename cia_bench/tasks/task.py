"""A standard benchmark: videos of one class each, and its owner's splits of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import fingerprint_of
from cia_bench.errors import AnnotationError, some
from cia_bench.files import stays_inside
from cia_bench.tables import SPLITS, TASK_CLIPS


@dataclass(frozen=True)
class Task:
    """What is scored: a row of `clips` is a video in one of the splits, and a split is a group of its own."""

    name: str  # as in its clips' source; for a plain folder, the folder's name
    kind: str  # in TASKS
    classes: tuple[str, ...]  # by number
    clips: pd.DataFrame  # columns of tables.TASK_CLIPS, sorted by its key
    videos: Path

    def fingerprint(self) -> str:
        """SHA-256 of the classes and the canonical rows of the clips, wherever the files of their videos lie."""
        rows = fingerprint_of([(TASK_CLIPS, self.clips.assign(video=self.clips.clip_id))])
        return hashlib.sha256(json.dumps([self.classes, rows]).encode()).hexdigest()

    def to_embed(self) -> tuple[dict[str, Path], pd.DataFrame]:
        """The folder of videos, and each clip once by id, as clip_files.clips_to_embed gives them.

        A clip is for training if no split scores it: a model that learns from these clips sees nothing that is scored.
        """
        scored = self.clips.clip_id[self.clips.split == SPLITS[1]]
        clips = self.clips.drop_duplicates("clip_id").sort_values("clip_id", ignore_index=True)
        split = np.where(clips.clip_id.isin(scored), SPLITS[1], SPLITS[0])
        table = clips[["clip_id", "source", "video"]].assign(split=split, start_s=None, stop_s=None)
        return {self.name: self.videos}, table


def make_task(kind: str, classes: Sequence[str], rows: pd.DataFrame, videos: Path, name: str | None = None) -> Task:
    """A task of what its owner's files say, checked as every task is.

    `rows` has a row a video in a split: number (of the split, as text), clip_id, video (the path that the owner gives
    it), class_name, split and subject. `name` is the kind's unless it is given.

    Raises AnnotationError if there are fewer than two classes, a class has no training video in a split, a split has
    nothing to score, or a name or path can't be one.
    """
    name, rows = name or kind, rows.reset_index(drop=True)
    _check_names(name, classes, rows)
    for number in sorted(rows.number.unique()):
        _check_split(f"split {number} of {name}", classes, rows[rows.number == number])
    numbers = {class_name: number for number, class_name in enumerate(classes)}
    clips = pd.DataFrame(
        {
            "group_id": name + "/" + rows.number,
            "clip_id": rows.clip_id,
            "source": name,
            "video": rows.video,
            "label": rows.class_name.map(numbers),
            "split": rows.split,
            "subject": rows.subject,
        }
    )
    return Task(name, kind, tuple(classes), TASK_CLIPS.to_arrow(clips).to_pandas(), videos)


def _check_names(name: str, classes: Sequence[str], rows: pd.DataFrame) -> None:
    if len(classes) < 2:
        raise AnnotationError(f"{name} needs 2 classes or more to tell apart, and has {len(classes)}")
    strange = [class_name for class_name in classes if not class_name.isprintable() or class_name != class_name.strip()]
    if strange or "" in classes:
        raise AnnotationError(f"{some(strange or [''])} of {name} can't be the name of a class")
    leaving = [video for video in rows.video.unique() if not stays_inside(video)]
    if leaving:
        raise AnnotationError(f"video paths of {name} leave the folder of videos: {some(leaving)}")


def _check_split(where: str, classes: Sequence[str], rows: pd.DataFrame) -> None:
    learnt = set(rows.class_name[rows.split == SPLITS[0]])
    missing = [class_name for class_name in classes if class_name not in learnt]
    if missing:
        raise AnnotationError(f"class {some(missing)} has no training video in {where}, so nothing can learn it")
    if not (rows.split == SPLITS[1]).any():
        raise AnnotationError(f"{where} has no video to score, only training videos")
