"""Build a source's chiral groups into a data folder, and read them back."""

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from cia_bench import __version__
from cia_bench.errors import BuildError, ConfigError
from cia_bench.files import read_json, whole_files, write_json
from cia_bench.lexicon import PUBLISHED_LIST, published_rows, read_lexicon_text
from cia_bench.mining import Mined, mine
from cia_bench.progress import Progress, silent
from cia_bench.sources import SYNTHETIC, read_actions
from cia_bench.tables import CANDIDATES, CLIPS, COUNTS, GROUPS, Table

PROFILES = ("paper",)
RECORD = "build.json"
RECORD_FIELDS = {"source": str, "settings": dict, "fingerprint": str, "groups": int, "clips": int}


@dataclass(frozen=True)
class Data:
    """The groups and clips of one source or more: the frames that tables.GROUPS and tables.CLIPS describe."""

    groups: pd.DataFrame
    clips: pd.DataFrame

    def source_names(self) -> list[str]:
        return sorted(self.groups.source.unique())

    def of(self, source: str) -> "Data":
        """Only the rows of one source."""
        return Data(self.groups[self.groups.source == source], self.clips[self.clips.source == source])

    def fingerprint(self, source: str) -> str:
        """SHA-256 of the canonical rows of groups and clips of one source."""
        rows = self.of(source)
        return fingerprint_of([(GROUPS, rows.groups), (CLIPS, rows.clips)])


def fingerprint_of(tables: list[tuple[Table, pd.DataFrame]]) -> str:
    """SHA-256 over all rows of tables, each a line of JSON, in the table's own order: not of Parquet bytes."""
    digest = hashlib.sha256()
    for table, frame in tables:
        arrow = table.to_arrow(frame)
        digest.update(f"{table.name} {json.dumps(arrow.schema.names)}\n".encode())
        for row in zip(*(column.to_pylist() for column in arrow.columns), strict=True):
            digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def build(source: str, annotations: Path, out: Path, profile: str = "paper") -> dict:
    """Mine `source` from its annotation files and write OUT/<source>; return the record that build.json holds.

    The paper profile keeps the published groups that have clips of both labels in both splits; the others are listed
    in the record under `left_out`.

    Raises ConfigError for an unknown source or profile, AnnotationError for what is wrong in the files, BuildError if
    OUT/<source> holds another build, WriteError if it can't be written.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown profile {profile!r}; choose from {', '.join(PROFILES)}")
    actions = read_actions(source, annotations)
    mined = mine(source, actions.frame, published_rows(source))
    data = _complete_groups(mined, status="published")
    if not len(data.groups):
        raise BuildError(f"{annotations}: no published group of {source} has clips of both labels in both splits")
    lexicon = hashlib.sha256(read_lexicon_text(PUBLISHED_LIST).encode()).hexdigest()
    inputs = [*actions.inputs, {"name": f"verb_pairs/{PUBLISHED_LIST}", "sha256": lexicon}]
    record = _record(source, {"profile": profile}, mined, data, inputs, actions.merged)
    _refuse_other_build(out / source, record)
    _write(out / source, record, mined.candidates, data)
    return record


def build_synthetic(out: Path, size: str = "small", seed: int = 0, progress: Progress = silent) -> dict:
    """Render the synthetic source into OUT/synthetic with its tables; return the record that build.json holds.

    Raises ConfigError for an unknown size or a negative seed, BuildError if OUT/synthetic holds another build,
    WriteError if it can't be written.
    """
    from cia_bench.sources.synthetic import lexicon_rows, plan, planned_actions
    from cia_bench.sources.synthetic.videos import render_videos, renderer

    folder = out / SYNTHETIC
    clips = plan(size, seed)
    mined = mine(SYNTHETIC, planned_actions(clips), lexicon_rows())
    data = _complete_groups(mined, status="rendered")
    record = _record(SYNTHETIC, {"size": size, "seed": seed}, mined, data, inputs=[], merged=[])
    record["versions"] = versions("av", "pillow")
    _refuse_other_build(folder, record)
    render_videos(clips, folder / "videos", renderer(), progress)
    _write(folder, record, mined.candidates, data)
    return record


def _complete_groups(mined: Mined, status: str) -> Data:
    """The groups that have clips of both labels in both splits, with their clips."""
    complete = (mined.candidates[list(COUNTS)] > 0).all(axis="columns")
    groups = mined.candidates[complete].assign(status=status).drop(columns=["lexicon_row", "hazards"])
    return Data(groups, mined.clips[mined.clips.group_id.isin(groups.group_id)])


def _record(source: str, settings: dict, mined: Mined, data: Data, inputs: list[dict], merged: list[str]) -> dict:
    left_out = mined.candidates[~mined.candidates.group_id.isin(data.groups.group_id)]
    contradictory = mined.contradictory[mined.contradictory.group_id.isin(data.groups.group_id)]
    return {
        "source": source,
        "settings": settings,
        "fingerprint": data.fingerprint(source),
        "groups": len(data.groups),
        "clips": int(data.clips.clip_id.nunique()),
        "inputs": inputs,
        "left_out": [_why_left_out(row) for row in left_out.itertuples()],
        "contradictory": contradictory.to_dict("records"),
        "merged_intervals": sorted(set(merged) & set(data.clips.clip_id)),
        "versions": versions(),
    }


def _why_left_out(candidate) -> dict:
    empty = [column for column in COUNTS if getattr(candidate, column) == 0]
    if len(empty) == len(COUNTS):
        return {"group_id": candidate.group_id, "reason": "no clip"}
    sides = [f"{getattr(candidate, column.split('_')[1])} in {column.split('_')[0]}" for column in empty]
    return {"group_id": candidate.group_id, "reason": f"no clip of {', nor of '.join(sides)}"}


def versions(*more: str) -> dict[str, str]:
    """The versions of what can change a table or a score, and of `more` packages."""
    packages = {name: version(name) for name in ("numpy", "pandas", "pyarrow", *more)}
    return {"cia-bench": __version__, "python": platform.python_version(), **packages}


def _refuse_other_build(folder: Path, record: dict) -> None:
    if not (folder / RECORD).exists():
        return
    old = read_record(folder)
    if (old["fingerprint"], old["settings"]) != (record["fingerprint"], record["settings"]):
        made = ", ".join(f"{name} {value}" for name, value in old["settings"].items())
        raise BuildError(
            f"{folder} holds another build ({made}, {old['groups']} groups, fingerprint {old['fingerprint'][:12]}); "
            "delete it or choose another --out"
        )


def _write(folder: Path, record: dict, candidates: pd.DataFrame, data: Data) -> None:
    with whole_files(folder, seal=RECORD) as scratch:
        GROUPS.write(scratch / "groups.parquet", data.groups)
        CLIPS.write(scratch / "clips.parquet", data.clips)
        CANDIDATES.write(scratch / "candidates.parquet", candidates)
        write_json(scratch / RECORD, record)


def read_record(folder: Path) -> dict:
    """Read DATA/<source>/build.json; raises BuildError if it is missing or not such a record."""
    try:
        return read_json(folder / RECORD, RECORD_FIELDS)
    except ValueError as error:
        raise BuildError(f"{folder / RECORD} can't be read ({error}); delete {folder} and build it again") from error


def built_sources(data: Path) -> list[str]:
    """The sources that have a folder of tables in DATA; raises BuildError if there is none."""
    if not data.is_dir():
        raise BuildError(f"data folder {data} does not exist; make it with cia build --source epic --out {data}")
    tables = (RECORD, "groups.parquet", "clips.parquet")
    found = [folder.name for folder in data.iterdir() if any((folder / name).exists() for name in tables)]
    if not found:
        raise BuildError(f"{data} holds no build; make one with cia build --source epic --out {data}")
    return sorted(found)


def read_data(data: Path | str, sources: Iterable[str] = ()) -> Data:
    """Read the groups and clips in DATA, of the named sources or of all that are built.

    Raises BuildError if one is not built or its tables are not those that were built, TableError if one is malformed.
    """
    data = Path(data)
    built = built_sources(data)
    unknown = [source for source in sources if source not in built]
    if unknown:
        raise BuildError(f"{data} holds no build of {', '.join(unknown)}; it has {', '.join(built)}")
    parts = [_read_source(data / source) for source in (sorted(set(sources)) or built)]
    frames = [[getattr(part, name) for part in parts] for name in ("groups", "clips")]
    return Data(*(pd.concat(parts, ignore_index=True) for parts in frames))


def _read_source(folder: Path) -> Data:
    record = read_record(folder)
    data = Data(GROUPS.read(folder / "groups.parquet"), CLIPS.read(folder / "clips.parquet"))
    if data.fingerprint(folder.name) != record["fingerprint"]:
        raise BuildError(
            f"the tables in {folder} are not those that were built; cia verify --data {folder.parent} says more"
        )
    return data
