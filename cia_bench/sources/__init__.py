"""The annotated video collections that chiral groups are mined from, one module a source.

An annotated source's module has FILES, the names of its owner's annotation files; WHERE, what to tell somebody who
lacks them; and `actions(files)`, which reads them (see files.AnnotationFiles) into a frame with the columns
ACTION_COLUMNS, one row a narrated action; OPTIONAL_COLUMNS where the owner tells them. It may have RELEASE, where to
download the files; FREE_NOUNS = True if nouns are free text rather than classes; `phrase(label)`, which splits a
published label into verb and noun; and `interval(clip_id)`, which reads a published clip id. Somebody else's source is
named by its import path, like my_sources.kitchen. The synthetic source has no files: it plans its actions and renders.
"""

import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from cia_bench.errors import AnnotationError, ConfigError, some
from cia_bench.files import stays_inside
from cia_bench.sources.files import MEND_OR_SKIP, AnnotationFiles, is_text
from cia_bench.tables import SPLITS

logger = logging.getLogger(__name__)

SOURCES = {name: f"cia_bench.sources.{name}" for name in ("ssv2", "epic", "charades")}  # those with annotation files
SYNTHETIC = "synthetic"
ACTION_COLUMNS = ("clip_id", "video", "start_s", "stop_s", "verb", "noun", "text", "split", "subject")
OPTIONAL_COLUMNS = {  # and what stands there for a source that does not tell
    "verb_class": None,  # a coarser name of the verb, which several verbs share
    "duration_s": np.nan,  # of the video
    "several_objects": False,  # the text names more objects than the phrase has places for
}
TEXTS = ("clip_id", "video", "verb", "noun", "text", "split")
TIMES = ("start_s", "stop_s", "duration_s")

PLAIN_PATH = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*"


@dataclass(frozen=True)
class Actions:
    """What a source's annotation files say."""

    frame: pd.DataFrame  # ACTION_COLUMNS and OPTIONAL_COLUMNS, in the files' order
    inputs: list[dict]  # name and sha256 of each file
    merged: list[str]  # clip ids that were narrated with more than one interval
    skipped: list[dict]  # file, row and reason of each row that was left out


def source_name(source: str) -> str:
    """What a source is called in tables and folders: its name, or the last part of an import path."""
    return source.rpartition(".")[2]


def load_source(source: str) -> ModuleType:
    """The module of a source, by its name or import path; raises ConfigError for an unknown one."""
    name = source_name(source)
    if "." in source:
        if not all(part.isidentifier() for part in source.split(".")):
            raise ConfigError(f"{source!r} is no import path like my_sources.kitchen")
        if name in (*SOURCES, SYNTHETIC, "verdicts"):
            raise ConfigError(f"a source can't be called {name!r}; rename the module {source}")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)  # as for models: the author's file lies where the command is typed
        try:
            module = importlib.import_module(source)
        except ImportError as error:
            raise ConfigError(
                f"can't import the source {source} (from {here} or what is installed): {error}"
            ) from error
        missing = [part for part in ("FILES", "WHERE", "actions") if not hasattr(module, part)]
        if missing:
            raise ConfigError(f"the source {source} does not define {', '.join(missing)}")
        if not isinstance(module.FILES, tuple | list):
            raise ConfigError(f"FILES of the source {source} is {module.FILES!r}, not a tuple of file names")
        return module
    if source not in SOURCES:
        known = ", ".join(sorted([*SOURCES, SYNTHETIC]))
        raise ConfigError(f"unknown source {source!r}; choose from {known}, or name a module like my_sources.kitchen")
    return importlib.import_module(SOURCES[source])


def read_actions(source: str, folder: Path, skip_bad_rows: bool = False, advice: str = MEND_OR_SKIP) -> Actions:
    """Read the annotation files of `source` in `folder`.

    Published clip ids round times to 0.1 s, so that two narrations can share one. Such an id is one clip here too: it
    has the interval of its first row, whichever group it is in. `skip_bad_rows` leaves out and lists what is broken
    row by row; so are broken rows of files that are an owner's release to the byte, which nobody can mend. `advice`
    ends the refusal of a row.

    Raises ConfigError for an unknown source; AnnotationError for missing files and, with file and row, for broken ones.
    """
    module = load_source(source)
    files = AnnotationFiles(folder, module, skip_bad_rows, advice)
    frame = module.actions(files)
    frame = _checked(source, frame, files)
    logger.info("read %d actions of %s from %s", len(frame), source, folder)
    frame, merged = _one_interval_an_id(frame)
    skipped = [{"file": fault.file, "row": fault.row, "reason": fault.reason} for fault in files.skipped]
    return Actions(frame, files.inputs(), merged, skipped)


def _one_interval_an_id(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The actions with each clip id's first interval, and the ids that had more than one."""
    repeated = frame.clip_id.duplicated(keep=False)
    if not repeated.any():
        return frame, []
    shared = frame[repeated]
    times = ["start_s", "stop_s"]
    merged = shared.groupby("clip_id", sort=False)[times].nunique(dropna=False).gt(1).any(axis="columns")
    first = shared.drop_duplicates("clip_id").set_index("clip_id")[times]
    frame = frame.copy()
    frame.loc[repeated, times] = first.loc[shared.clip_id].to_numpy()
    return frame, sorted(merged.index[merged])


def _checked(source: str, frame: pd.DataFrame, files: AnnotationFiles) -> pd.DataFrame:
    """The actions with all columns; raises AnnotationError for what would harm later stages: anybody writes sources."""
    if not isinstance(frame, pd.DataFrame):
        raise AnnotationError(f"{files.folder}: actions() of {source} returned {type(frame).__name__}, not a DataFrame")
    missing = [column for column in ACTION_COLUMNS if column not in frame.columns]
    if missing:
        raise AnnotationError(f"{files.folder}: the actions of {source} lack column {', '.join(missing)}")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise AnnotationError(f"{files.folder}: the actions of {source} have column {repeated[0]} twice")
    more = {column: value for column, value in OPTIONAL_COLUMNS.items() if column not in frame.columns}
    frame = frame.assign(**more)[[*ACTION_COLUMNS, *OPTIONAL_COLUMNS]].reset_index(drop=True)
    for problem, broken in _type_problems(frame):
        _refuse(source, files, frame, problem, broken)
    frame = frame.astype({**dict.fromkeys(TIMES, float), "several_objects": bool})
    for problem, broken in _value_problems(frame):
        _refuse(source, files, frame, problem, broken)
    return frame


def _refuse(source: str, files: AnnotationFiles, frame: pd.DataFrame, problem: str, broken: pd.Series) -> None:
    if broken.any():
        clips = some(frame.clip_id[broken.to_numpy(bool)].tolist())
        raise AnnotationError(f"{files.folder}: {source} gave {problem}: clip {clips}")


Problem = tuple[str, pd.Series]  # what is wrong with the rows where the series holds


def _type_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    for column in TEXTS:
        yield f"a {column} that is not text", ~_are_text(frame[column])
    for column in ("subject", "verb_class"):
        yield f"a {column} that is neither text nor None", frame[column].notna() & ~_are_text(frame[column])
    for column in TIMES:
        yield f"a {column} that is not a number", ~_are_numbers(frame[column])
    yield "a several_objects that is not True or False", ~frame.several_objects.isin([True, False])


def _value_problems(frame: pd.DataFrame) -> Iterator[Problem]:
    """What is wrong where the types are right."""
    whole = frame.start_s.isna() & frame.stop_s.isna()
    ordered = (frame.start_s >= 0) & (frame.start_s < frame.stop_s) & np.isfinite(frame.stop_s)
    yield "an empty clip_id, verb or noun", frame[["clip_id", "verb", "noun"]].eq("").any(axis="columns")
    yield f"a split that is not {' or '.join(SPLITS)}", ~frame.split.isin(SPLITS)
    yield "an interval that is not 0 <= start_s < stop_s, or empty", ~(whole | ordered)
    yield "a video path that leaves the video folder", ~_stay_inside(frame.video)
    yield "a clip id that leaves its folder", ~_stay_inside(frame.clip_id)
    shared = frame[frame.clip_id.duplicated(keep=False)]
    for column, problem in (("split", "a clip id in both splits"), ("video", "a clip id of two videos")):
        different = shared.groupby("clip_id")[column].transform("nunique") > 1
        yield problem, different.reindex(frame.index, fill_value=False)


def _are_text(values: pd.Series) -> pd.Series:
    return values.notna() if isinstance(values.dtype, pd.StringDtype) else values.map(is_text).astype(bool)


def _are_numbers(values: pd.Series) -> pd.Series:
    """Which values are real numbers or missing."""
    if pd.api.types.is_float_dtype(values) or pd.api.types.is_integer_dtype(values):
        return pd.Series(True, index=values.index)
    number = values.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool))
    return values.isna() | number.astype(bool)


def _stay_inside(paths: pd.Series) -> pd.Series:
    """Whether each path stays in its folder; those of plain letters are told at once."""
    inside = np.array(paths.astype("str").str.fullmatch(PLAIN_PATH), bool)
    inside[~inside] = [stays_inside(path) for path in paths[~inside]]
    return pd.Series(inside, index=paths.index)


def seconds(timestamps: pd.Series) -> pd.Series:
    """Turn texts like 00:01:02.50 into seconds; NaN where a text is not of that form."""
    parts = timestamps.str.extract(r"^([0-9]{1,3}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)\Z").astype(float)
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def tenths(times_s: pd.Series) -> pd.Series:
    """Seconds as the published clip ids write them: numpy.round to one decimal, then str."""
    texts = [str(time) for time in np.round(times_s.to_numpy(float), 1).tolist()]
    return pd.Series(texts, index=times_s.index, dtype="str")
