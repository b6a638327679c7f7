"""Check a data folder from end to end and say everything that is wrong with it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import RECORD, Data, built_sources, read_record
from cia_bench.errors import BuildError, TableError, printable, some
from cia_bench.files import stays_inside
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES, CLIPS, COUNTS, GROUPS, SPLITS, Table

TABLES = {
    "groups.parquet": GROUPS,
    "clips.parquet": CLIPS,
    "candidates.parquet": CANDIDATES,
    "candidate_clips.parquet": CANDIDATE_CLIPS,
}
MEMBERS = {"clips.parquet": "groups.parquet", "candidate_clips.parquet": "candidates.parquet"}  # what they belong to


def verify(data: Path) -> list[str]:
    """Return what is wrong with each built source in DATA, one printable line a problem; an empty list if all is well.

    Raises BuildError if DATA does not exist or holds no build.
    """
    return [printable(line) for source in built_sources(data) for line in _source_problems(data / source)]


def _source_problems(folder: Path) -> Iterator[str]:
    frames: dict[str, pd.DataFrame] = {}
    for name, table in TABLES.items():
        try:
            frames[name] = table.read(folder / name)
        except TableError as error:
            yield str(error)
    for name, frame in frames.items():
        yield from _located(folder / name, frame, TABLES[name].key[-1], _row_problems(frame, TABLES[name], folder.name))
    for clips, groups in MEMBERS.items():
        if clips in frames:
            yield from _located(folder / clips, frames[clips], "clip_id", _clip_problems(frames[clips]))
            if groups in frames:
                yield from _group_problems(folder / groups, frames[groups], folder / clips, frames[clips])
    yield from _record_problems(folder, frames)


Check = tuple[str, np.ndarray | pd.Series]  # what is wrong with the rows where the array holds


def _located(path: Path, frame: pd.DataFrame, name_by: str, checks: Iterator[Check]) -> Iterator[str]:
    """Each check that any row fails as a line with the file, the first such row and how many more there are."""
    for problem, broken in checks:
        rows = frame[name_by][np.asarray(broken)].tolist()
        if rows:
            yield f"{path}: {problem}: {some(rows)}"


def _row_problems(frame: pd.DataFrame, table: Table, source: str) -> Iterator[Check]:
    yield "repeated " + " and ".join(table.key), frame.duplicated(list(table.key))
    yield f"source is not {source!r}", frame.source != source


def _clip_problems(clips: pd.DataFrame) -> Iterator[Check]:
    whole = clips.start_s.isna() & clips.stop_s.isna()
    ordered = (clips.start_s >= 0) & (clips.start_s < clips.stop_s) & np.isfinite(clips.stop_s)
    yield "label is not 0 or 1", ~clips.label.isin([0, 1])
    yield f"split is not {' or '.join(SPLITS)}", ~clips.split.isin(SPLITS)
    yield "interval is not 0 <= start_s < stop_s, or null for a whole file", ~(whole | ordered)
    yield "video path leaves the video folder", ~clips.video.map(stays_inside)
    for column in ("video", "start_s", "stop_s", "split"):
        different = clips.groupby("clip_id")[column].transform("nunique", dropna=False) > 1
        yield f"one clip_id with different {column}", different


def _group_problems(path: Path, groups: pd.DataFrame, clips_path: Path, clips: pd.DataFrame) -> Iterator[str]:
    strangers = ~clips.group_id.isin(groups.group_id)
    yield from _located(clips_path, clips, "group_id", [(f"group_id that {path.name} lacks", strangers)])
    sizes = clips.groupby(["group_id", "split", "label"]).size()
    for group in groups.drop_duplicates("group_id").itertuples():
        for column in COUNTS:
            split, side = column.split("_")
            found = int(sizes.get((group.group_id, split, int(side == "forward")), 0))
            if found == 0 and path.name == "groups.parquet":
                yield f"{clips_path}: group {group.group_id!r} has no {side} clip in {split}"
            if found != getattr(group, column):
                said = f"says {column} {getattr(group, column)}, its clips are {found}"
                yield f"{path}: group {group.group_id!r} {said}"


def _record_problems(folder: Path, frames: dict[str, pd.DataFrame]) -> Iterator[str]:
    try:
        record = read_record(folder)
    except BuildError as error:
        yield str(error)
        return
    if not {"groups.parquet", "clips.parquet"} <= frames.keys():
        return  # said already, and there is nothing to compare
    data = Data(frames["groups.parquet"], frames["clips.parquet"])
    found = {"source": folder.name, "groups": len(data.groups), "clips": data.clips.clip_id.nunique()}
    try:
        found["fingerprint"] = data.fingerprint(folder.name)
    except TableError:
        pass  # repeated keys have no canonical rows; they are said already
    for name, value in found.items():
        if record[name] != value:
            yield f"{folder / RECORD}: {name} is {record[name]}, the tables have {value}"
