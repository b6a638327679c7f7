"""Kinetics-400: parts of YouTube videos, each of one of 400 actions."""

from pathlib import Path

import pandas as pd

from cia_bench.sources.files import AnnotationFiles
from cia_bench.tasks.lists import both_lists, open_lists

TRAIN = ("train.csv", "kinetics_train.csv", "kinetics-400_train.csv")  # all names that the owner gave it
SCORED = ("validate.csv", "val.csv", "kinetics_val.csv", "kinetics-400_val.csv")  # an old test.csv has no labels
WHERE = "get the annotations of Kinetics-400 as https://github.com/cvdfoundation/kinetics-dataset says"
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
SPLIT_NAMES = {TRAIN[0]: ("train",), SCORED[0]: ("validate", "val", "validation")}
SECONDS = "[0-9]{1,6}"


def listed(splits: Path) -> tuple[list[str], pd.DataFrame]:
    """The classes and rows (see task.make_task) of both files; a clip id is as `--07WQ2iBlw_000001_000011`."""
    files = open_lists(splits, (TRAIN, SCORED), WHERE)
    training, scored = (_read_list(files, name) for name in SPLIT_NAMES)
    known = scored.class_name.isin(training.class_name)
    scored = files.keep(SCORED[0], scored, known, f"class {{class_name}} is not in {files.path(TRAIN[0]).name}")
    rows = both_lists(files, (TRAIN[0], SCORED[0]), training, scored)
    return sorted(training.class_name.unique()), rows


def _read_list(files: AnnotationFiles, name: str) -> pd.DataFrame:
    rows = files.csv(name, COLUMNS)
    checks = {
        "youtube_id {youtube_id} is not like '--07WQ2iBlw'": rows.youtube_id.str.fullmatch("[A-Za-z0-9_-]+"),
        "time_start {time_start} is no whole number of seconds": rows.time_start.str.fullmatch(SECONDS),
        "time_end {time_end} is no whole number of seconds": rows.time_end.str.fullmatch(SECONDS),
        f"split {{split}} is not {SPLIT_NAMES[name][0]}": rows.split.isin(SPLIT_NAMES[name]),
    }
    for expected, good in checks.items():
        rows = files.keep(name, rows, good, expected)
    clip_ids = rows.youtube_id + "_" + rows.time_start.str.zfill(6) + "_" + rows.time_end.str.zfill(6)
    return pd.DataFrame(
        {"number": "1", "clip_id": clip_ids, "video": clip_ids + ".mp4", "class_name": rows.label, "subject": None}
    )
