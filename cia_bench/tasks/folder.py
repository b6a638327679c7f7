"""A folder of videos with a folder a class, split by folders or by two lists."""

from pathlib import Path, PurePosixPath

import pandas as pd

from cia_bench.clip_files import VIDEO_ENDINGS, is_video, refuse_strange, video_names
from cia_bench.errors import ConfigError, some
from cia_bench.files import stays_inside
from cia_bench.sources.files import AnnotationFiles
from cia_bench.tables import SPLITS
from cia_bench.tasks.lists import both_lists, filled_lines, open_lists

TRAIN, SCORED = "train", ("validation", "val", "test")
LISTS = ("train.txt", "test.txt")
WHERE = "each line of a list is a path like walk/a.mp4, as it is in the folder of videos"


def listed(videos: Path, splits: Path | None) -> tuple[list[str], pd.DataFrame]:
    """The classes and rows (see task.make_task) of the folders, or of the lists in `splits` if it is given.

    A clip's id is its path in the folder, with its ending: nothing else tells two files apart.

    Raises ConfigError and AnnotationError for what is not as it should be.
    """
    rows = _from_folders(videos) if splits is None else _from_lists(splits)
    rows = rows.assign(number="1", video=rows.clip_id, subject=None)
    return sorted(rows.class_name.unique()), rows


def _from_folders(videos: Path) -> pd.DataFrame:
    scored = [name for name in SCORED if (videos / name).is_dir()]
    if len(scored) > 1:
        raise ConfigError(f"{videos} has {' and '.join(scored)}; say what is scored: --splits DIR with {_lists()}")
    if not scored or not (videos / TRAIN).is_dir():
        raise ConfigError(
            f"{videos} lacks {TRAIN}/ or one of {'/, '.join(SCORED)}/ with a folder a class; else give --splits DIR "
            f"with {_lists()}"
        )
    return pd.concat([_from_folder(videos, *names) for names in zip((TRAIN, *scored), SPLITS, strict=True)])


def _lists() -> str:
    return f"{' and '.join(LISTS)}, whose lines are paths like walk/a.mp4"


def _from_folder(videos: Path, folder: str, split: str) -> pd.DataFrame:
    names = video_names(videos / folder)
    refuse_strange(names, videos / folder)
    loose = [name for name in names if "/" not in name]
    if loose:
        raise ConfigError(f"{videos / folder} holds {some(loose)} beside the folders of its classes")
    class_names = [name.split("/")[0] for name in names]
    folders = {path.name for path in (videos / folder).iterdir() if path.is_dir() and not path.name.startswith(".")}
    empty = sorted(folders - set(class_names))
    if empty:
        raise ConfigError(f"{videos / folder / empty[0]} holds no video: no file there ends in {_endings()}")
    clip_ids = [f"{folder}/{name}" for name in names]
    return pd.DataFrame({"clip_id": clip_ids, "class_name": class_names, "split": split}, dtype="str")


def _endings() -> str:
    return ", ".join(VIDEO_ENDINGS)


def _from_lists(splits: Path) -> pd.DataFrame:
    files = open_lists(splits, LISTS, WHERE)
    training, scored = (_read_list(files, name) for name in LISTS)
    known = scored.class_name.isin(training.class_name)
    scored = files.keep(LISTS[1], scored, known, f"class {{class_name}} is not in {LISTS[0]}")
    return both_lists(files, LISTS, training, scored)


def _read_list(files: AnnotationFiles, name: str) -> pd.DataFrame:
    lines = filled_lines(files, name)
    checks = {
        f"{{line}} does not end in one of {_endings()}": [is_video(line) for line in lines.line],
        "{line} is not like 'walk/a.mp4', a plain path below the folder of a class": [
            _has_class(line) for line in lines.line
        ],
    }
    for expected, good in checks.items():
        lines = files.keep(name, lines, pd.Series(good, dtype=bool), expected)
    return pd.DataFrame({"clip_id": lines.line, "class_name": lines.line.str.split("/").str[0]})


def _has_class(path: str) -> bool:
    return stays_inside(path) and "/" in path and str(PurePosixPath(path)) == path
