"""Find the files of a task's videos by their names, in whatever folders they lie."""

import logging
import os
import posixpath
from dataclasses import replace
from typing import NoReturn

from cia_bench.clip_files import refuse_strange, video_names
from cia_bench.errors import ConfigError
from cia_bench.tasks.task import Task

logger = logging.getLogger(__name__)


def locate(task: Task) -> Task:
    """The task with the path of each video that is somewhere below its folder of videos; others keep their own.

    A file is known by its name without ending. If several have it, it is the one in a folder named like its class, with
    spaces or underscores; so it is for a name that videos of several classes share.

    Raises ConfigError if none is found, several fit one video, or a path can't be one.
    """
    listed = task.clips.drop_duplicates("clip_id").astype(object)  # Arrow's text is slow one by one
    stems = listed.video.map(_stem)
    files = _files_by_stem(task, set(stems))
    shared = stems.duplicated(keep=False)
    found = {}
    for row, stem, is_shared in zip(listed.itertuples(), stems, shared, strict=True):
        places = files.get(stem, [])
        if is_shared or len(places) > 1:
            places = _of_class(task, row, places, is_shared)
        if places:
            found[row.clip_id] = places[0]
    if not found:
        _refuse_none(task, f"{posixpath.basename(listed.video.iloc[0])} in any folder")
    refuse_strange(found.values(), task.videos)
    if len(found) < len(listed):
        missing = len(listed) - len(found)
        logger.warning("%d of the %d videos of %s are not in %s", missing, len(listed), task.name, task.videos)
    video = task.clips.clip_id.astype(object).map(found).fillna(task.clips.video).astype("str")
    return replace(task, clips=task.clips.assign(video=video))


def in_place(task: Task) -> Task:
    """The task, whose videos lie exactly where its rows say; raises ConfigError if not one does."""
    if not any((task.videos / video).is_file() for video in task.clips.video):
        _refuse_none(task, task.clips.video.iloc[0])
    return task


def _refuse_none(task: Task, example: str) -> NoReturn:
    count = task.clips.clip_id.nunique()
    raise ConfigError(
        f"{task.videos} holds none of the {count:,} videos of {task.name}, like {example}; give the folder that holds "
        "them with --videos"
    )


def _stem(path: str) -> str:
    return os.path.splitext(posixpath.basename(path))[0]


def _files_by_stem(task: Task, wanted: set[str]) -> dict[str, list[str]]:
    """The video files below the task's folder that have one of the wanted names."""
    found = {}
    for name in video_names(task.videos):
        stem = _stem(name)
        if stem in wanted:
            found.setdefault(stem, []).append(name)
    return found


def _of_class(task: Task, row: tuple, places: list[str], is_shared: bool) -> list[str]:
    """The place in the folder of the row's class; none only where others may be of another class."""
    own = _as_folder(task.classes[row.label])
    fitting = [place for place in places if _as_folder(posixpath.basename(posixpath.dirname(place))) == own]
    if len(fitting) == 1 or (is_shared and not fitting):
        return fitting
    several = " and ".join(map(repr, (fitting or places)[:2]))
    raise ConfigError(f"{task.videos} has several files of video {row.clip_id!r}: {several}; keep one")


def _as_folder(class_name: str) -> str:
    return class_name.replace(" ", "_").casefold()
