"""UCF101: YouTube videos of 101 actions, split three times."""

from pathlib import Path

import pandas as pd

from cia_bench.sources.files import AnnotationFiles
from cia_bench.tasks.lists import both_lists, class_names, open_lists, parsed_lines

CLASSES = "classInd.txt"
LISTS = {number: (f"trainlist0{number}.txt", f"testlist0{number}.txt") for number in "123"}
FOLDER = "ucfTrainTestlist"  # in which the owner packs them
WHERE = (
    "get the Train/Test Splits for Action Recognition, UCF101TrainTestSplits-RecognitionTask.zip, from "
    "https://www.crcv.ucf.edu/data/UCF101.php"
)
# the file's own name may spell the class otherwise: HandstandPushups/v_HandStandPushups_g01_c01.avi
VIDEO = r"(?P<clip_id>(?P<class_name>[\w-]+)/v_[\w-]+_(?P<recording>g[0-9]+)_c[0-9]+)\.avi"
EXAMPLE = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"


def listed(splits: Path) -> tuple[list[str], pd.DataFrame]:
    """The classes and rows (see task.make_task) of all lists; clips of one recording (g08) of a class are a subject."""
    names = [CLASSES, *(name for pair in LISTS.values() for name in pair)]
    files = open_lists(splits, [(name, f"{FOLDER}/{name}") for name in names], WHERE)
    lines = parsed_lines(files, CLASSES, r"(?P<number>[^ ]+) (?P<class_name>[\w-]+)", "1 ApplyEyeMakeup")
    classes = class_names(files, CLASSES, lines, first=1)
    return classes, pd.concat([_read_split(files, number, classes) for number in LISTS])


def _read_split(files: AnnotationFiles, number: str, classes: list[str]) -> pd.DataFrame:
    train, test = LISTS[number]
    training = _read_list(files, train, rf"{VIDEO} (?P<number>[0-9]+)", f"{EXAMPLE} 1", classes)
    numbers = {class_name: str(place) for place, class_name in enumerate(classes, start=1)}
    right = training.number == training.class_name.map(numbers)
    training = files.keep(
        train, training, right, f"class {{class_name}} has another number than {{number}} in {CLASSES}"
    )
    rows = both_lists(files, (train, test), training, _read_list(files, test, VIDEO, EXAMPLE, classes))
    return pd.DataFrame(
        {
            "number": number,
            "clip_id": rows.clip_id,
            "video": rows.clip_id + ".avi",
            "class_name": rows.class_name,
            "split": rows.split,
            "subject": rows.class_name + "_" + rows.recording,
        }
    )


def _read_list(files: AnnotationFiles, name: str, pattern: str, example: str, classes: list[str]) -> pd.DataFrame:
    lines = parsed_lines(files, name, pattern, example)
    return files.keep(name, lines, lines.class_name.isin(classes), f"class {{class_name}} is not in {CLASSES}")
