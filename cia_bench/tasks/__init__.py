"""Standard benchmarks by name: what their owners' split files say."""

import os
from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.sources import SOURCES
from cia_bench.tasks import folder, hmdb51, kinetics400, ssv2, synthetic, ucf101
from cia_bench.tasks.locate import in_place, locate
from cia_bench.tasks.task import Task, make_task

__all__ = ["TASKS", "Task", "read_task"]

OWNERS = {"hmdb51": hmdb51, "kinetics400": kinetics400, "ssv2": ssv2, "ucf101": ucf101}  # who publish split files
TASKS = {**OWNERS, "folder": folder, "synthetic": synthetic}  # the modules; each one's `listed` says what there is

PLACES = {"splits": "CIA_ANNOTATIONS", "videos": "CIA_VIDEOS"}  # variables that name a folder with a folder a task


def read_task(
    kind: str, splits: Path | None, videos: Path | None, data: Path | None = None, embedded: bool = False
) -> Task:
    """Read a task: its owner's split files in `splits`, whose videos are anywhere below `videos`.

    By default these are $CIA_ANNOTATIONS/<kind> and $CIA_VIDEOS/<kind>. If the videos are `embedded` already, those of
    split files need not be there. folder needs `videos` alone, with a folder a class in it, or two lists in `splits`.
    synthetic needs `data`, where it was built, and finds its videos there unless `videos` says where.

    Raises ConfigError for an unknown kind, a folder that is not given and videos that are not there; AnnotationError,
    with file and row, for what is wrong in the files; BuildError if synthetic is not built.
    """
    if kind not in TASKS:
        raise ConfigError(f"unknown task {kind!r}; choose from {', '.join(sorted(TASKS))}")
    if kind == "synthetic":
        if splits is not None:
            raise ConfigError("the task synthetic has no split files; leave --splits away")
        if data is None:
            raise ConfigError("the task synthetic needs --data, the folder in which it was built")
        return make_task(kind, *synthetic.listed(data, videos))
    if kind == "folder":
        if videos is None:
            raise ConfigError("the task folder needs --videos, the folder in which the videos are")
        return in_place(make_task(kind, *folder.listed(videos, splits), videos, _folder_name(videos)))
    owner = OWNERS[kind]
    splits = _given(kind, "splits", splits, f"with its owner's lists: {owner.WHERE}")
    if embedded:  # and known by the names that the owner gives them
        return make_task(kind, *owner.listed(splits), videos or Path())
    videos = _given(kind, "videos", videos, "below which its videos are")
    return locate(make_task(kind, *owner.listed(splits), videos))


def _given(kind: str, option: str, folder: Path | None, what: str) -> Path:
    """The folder that is given, or else found by the environment."""
    if folder is not None:
        return folder
    variable = PLACES[option]
    if variable in os.environ and (Path(os.environ[variable]) / kind).is_dir():
        return Path(os.environ[variable]) / kind
    raise ConfigError(f"the task {kind} needs --{option}, or ${variable}/{kind}, the folder {what}")


def _folder_name(videos: Path) -> str:
    """What a folder of videos is called as a task; raises ConfigError for a name that says what it is not."""
    name = videos.resolve().name
    if not name or name in TASKS or name in SOURCES:
        raise ConfigError(f"the videos of the task folder can't lie in a folder called {name!r}; rename {videos}")
    return name
