"""Standard benchmarks by name: what their owners' split files say."""

from pathlib import Path

from cia_bench.errors import ConfigError
from cia_bench.sources import SOURCES
from cia_bench.tasks import folder, hmdb51, kinetics400, ssv2, synthetic, ucf101
from cia_bench.tasks.locate import in_place, locate
from cia_bench.tasks.task import Task, make_task

__all__ = ["TASKS", "Task", "read_task"]

OWNERS = {"hmdb51": hmdb51, "kinetics400": kinetics400, "ssv2": ssv2, "ucf101": ucf101}  # who publish split files
TASKS = {**OWNERS, "folder": folder, "synthetic": synthetic}  # the modules; each one's `listed` says what there is


def read_task(kind: str, splits: Path | None, videos: Path | None, data: Path | None = None) -> Task:
    """Read a task: its owner's split files in `splits`, whose videos are anywhere below `videos`.

    folder needs `videos` alone, with a folder a class in it, or two lists in `splits`. synthetic needs `data`, where it
    was built, and finds its videos there unless `videos` says where.

    Raises ConfigError for an unknown kind, a folder that is not given and videos that are not there; AnnotationError,
    with file and row, for what is wrong in the files; BuildError if synthetic is not built.
    """
    if kind not in TASKS:
        raise ConfigError(f"unknown task {kind!r}; choose from {', '.join(sorted(TASKS))}")
    if kind == "synthetic":
        if splits is not None:
            raise ConfigError("the task synthetic has no split files; leave --splits away")
        classes, rows, videos = synthetic.listed(_given(kind, "data", data, "in which it was built"), videos)
        return make_task(kind, classes, rows, videos)
    if kind == "folder":
        videos = _given(kind, "videos", videos, "in which the videos are")
        return in_place(make_task(kind, *folder.listed(videos, splits), videos, _folder_name(videos)))
    owner = OWNERS[kind]
    splits = _given(kind, "splits", splits, f"with its owner's lists: {owner.WHERE}")
    videos = _given(kind, "videos", videos, "below which its videos are")
    return locate(make_task(kind, *owner.listed(splits), videos))


def _given(kind: str, option: str, folder: Path | None, what: str) -> Path:
    if folder is None:
        raise ConfigError(f"the task {kind} needs --{option}, the folder {what}")
    return folder


def _folder_name(videos: Path) -> str:
    """What a folder of videos is called as a task; raises ConfigError for a name that says what it is not."""
    name = videos.resolve().name
    if not name or name in TASKS or name in SOURCES:
        raise ConfigError(f"the videos of the task folder can't lie in a folder called {name!r}; rename {videos}")
    return name
