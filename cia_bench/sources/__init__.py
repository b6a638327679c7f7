"""The annotated video collections that chiral groups are mined from, one module a source.

An annotated source's module has FILES, the names of its owner's annotation files; WHERE, what to tell somebody who
lacks them; and `actions(folder)`, which reads them into a frame with the columns ACTION_COLUMNS, one row a narrated
action. The synthetic source has no such files: it plans its actions and renders them.
"""

import csv
import importlib
import logging
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from cia_bench.errors import AnnotationError, ConfigError
from cia_bench.files import sha256_of

logger = logging.getLogger(__name__)

SOURCES = {"epic": "cia_bench.sources.epic"}  # those with annotation files
SYNTHETIC = "synthetic"
ACTION_COLUMNS = ("clip_id", "video", "start_s", "stop_s", "verb", "noun", "text", "split", "subject")


@dataclass(frozen=True)
class Actions:
    """What a source's annotation files say."""

    frame: pd.DataFrame  # ACTION_COLUMNS, in the files' order
    inputs: list[dict]  # name and sha256 of each file
    merged: list[str]  # clip ids that were narrated with more than one interval


def load_source(source: str) -> ModuleType:
    """The module of a source; raises ConfigError for an unknown one."""
    if source not in SOURCES:
        raise ConfigError(f"unknown source {source!r}; choose from {', '.join(sorted([*SOURCES, SYNTHETIC]))}")
    return importlib.import_module(SOURCES[source])


def read_actions(source: str, folder: Path) -> Actions:
    """Read the annotation files of `source` in `folder`.

    Published clip ids round times to 0.1 s, so that two narrations can share one. Such an id is one clip here too: it
    has the interval of its first row, whichever group it is in.

    Raises ConfigError for an unknown source; AnnotationError for missing files and, with file and row, for broken ones.
    """
    module = load_source(source)
    missing = [name for name in module.FILES if not (folder / name).is_file()]
    if missing:
        state = "lacks" if folder.is_dir() else "does not exist; it should hold"
        raise AnnotationError(f"annotation folder {folder} {state} {', '.join(missing)}; {module.WHERE}")
    frame = module.actions(folder)[list(ACTION_COLUMNS)]
    logger.info("read %d actions of %s from %s", len(frame), source, folder)
    intervals = frame.groupby("clip_id", sort=False)[["start_s", "stop_s"]]
    merged = intervals.nunique().gt(1).any(axis="columns")
    frame = frame.assign(**intervals.transform("first"))
    inputs = [{"name": name, "sha256": sha256_of(folder / name)} for name in module.FILES]
    return Actions(frame, inputs, sorted(merged.index[merged]))


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the named columns of an owner's CSV as text, exactly as written; more columns are allowed.

    Raises AnnotationError if it is not UTF-8 CSV, lacks a column, or a row has more or fewer fields than the header.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        number = 1  # of the row that is being read; the header is row 1
        try:
            header = next(rows, [])
            missing = [column for column in columns if column not in header]
            if missing:
                raise AnnotationError(f"{path} lacks column {', '.join(missing)}; it has {', '.join(header) or 'none'}")
            wanted = [header.index(column) for column in columns]
            kept = []
            for number, row in enumerate(rows, start=2):
                if len(row) != len(header):
                    raise AnnotationError(f"{path} row {number} has {len(row)} fields, the header {len(header)}")
                kept.append([row[column] for column in wanted])
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{path} is not UTF-8 text near row {number + 1}: {error.reason}") from error
        except csv.Error as error:
            raise AnnotationError(f"{path} row {number + 1} can't be read as CSV: {error}") from error
    return pd.DataFrame(kept, columns=list(columns), dtype="str")


def refuse_rows(path: Path, broken: pd.Series, frame: pd.DataFrame, expected: str) -> None:
    """Raise AnnotationError that names the first row of `frame` where `broken` holds; the header is row 1.

    `expected` says how it should be; `{column}` in it stands for that row's value.
    """
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        values = {column: repr(value) for column, value in frame.iloc[row].items()}
        raise AnnotationError(f"{path} row {row + 2}: {expected.format(**values)}")


def seconds(timestamps: pd.Series) -> pd.Series:
    """Turn texts like 00:01:02.50 into seconds; NaN where a text is not of that form."""
    parts = timestamps.str.extract(r"^([0-9]{1,3}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)$").astype(float)
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def tenths(times_s: pd.Series) -> pd.Series:
    """Seconds as the published clip ids write them: numpy.round to one decimal, then str."""
    texts = [str(time) for time in np.round(times_s.to_numpy(float), 1).tolist()]
    return pd.Series(texts, index=times_s.index, dtype="str")
