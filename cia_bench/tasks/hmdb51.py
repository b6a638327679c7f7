"""HMDB51: parts of films of 51 actions, split three times."""

import re
from pathlib import Path

import pandas as pd

from cia_bench.sources.files import AnnotationFiles
from cia_bench.tables import SPLITS
from cia_bench.tasks.lists import each_once, open_lists, parsed_lines

NUMBERS = "123"
FOLDER = "testTrainMulti_7030_splits"  # in which the owner packs the lists
WHERE = "get the splits, test_train_splits.rar, from https://serre.lab.brown.edu/hmdb51.html"
LINE = r"(?P<stem>[^\s/\\.][^\s/\\]*)\.avi (?P<use>[012])"
EXAMPLE = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1"
USES = {"1": SPLITS[0], "2": SPLITS[1]}  # 0: in no row of that split


def listed(splits: Path) -> tuple[list[str], pd.DataFrame]:
    """The classes and rows (see task.make_task) of a list a class and split; clips of one film are of one subject."""
    classes = _classes(splits)
    names = [_list_name(class_name, number) for class_name in classes or ["CLASS"] for number in NUMBERS]
    files = open_lists(splits, [(name, f"{FOLDER}/{name}") for name in names], WHERE)
    return classes, pd.concat([_read_list(files, name, number) for name in classes for number in NUMBERS])


def _classes(splits: Path) -> list[str]:
    """The classes that have a list of any split."""
    names = [path.name for folder in (splits, splits / FOLDER) for path in folder.glob("*.txt")]
    matches = [re.fullmatch(_list_name("(.+)", f"[{NUMBERS}]"), name) for name in names]
    return sorted({match[1] for match in matches if match})


def _list_name(class_name: str, number: str) -> str:
    return f"{class_name}_test_split{number}.txt"


def _read_list(files: AnnotationFiles, class_name: str, number: str) -> pd.DataFrame:
    name = _list_name(class_name, number)
    rows = parsed_lines(files, name, LINE, EXAMPLE)
    rows = each_once(files, name, rows.assign(clip_id=class_name + "/" + rows.stem))
    rows = rows[rows.use.isin(USES)]
    return pd.DataFrame(
        {
            "number": number,
            "clip_id": rows.clip_id,
            "video": rows.clip_id + ".avi",
            "class_name": class_name,
            "split": rows.use.map(USES),
            "subject": [_film(stem, class_name) for stem in rows.stem],
        }
    )


def _film(stem: str, class_name: str) -> str:
    """What stands before the class in a name: `April_09` of `April_09_brush_hair_u_nm_np1_ba_goo_0`; else the name."""
    return stem.rpartition(f"_{class_name}_")[0] or stem
