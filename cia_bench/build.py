"""Build a source's chiral groups into a data folder, and read them back."""

import hashlib
import json
import logging
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cia_bench import __version__
from cia_bench.errors import BuildError, ConfigError
from cia_bench.files import read_json, sha256_of, whole_files, write_json
from cia_bench.lexicon import NOUNS, PAIRS, PUBLISHED_LIST, WORDNET, Lexicon, published_groups, read_lexicon_text
from cia_bench.mining import Mined, MiningSettings, as_it_is, count_clips, mine
from cia_bench.progress import Progress, silent
from cia_bench.review.decisions import Decisions, decide, dropped_clips
from cia_bench.review.journal import DECISIONS, SHIPPED, journal_path, read_journal, read_shipped
from cia_bench.sources import SYNTHETIC, load_source, read_actions, source_name
from cia_bench.splits import StrictSplit, balance, strict_split
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES, CLIPS, COUNTS, GROUPS, SPLITS, Table

logger = logging.getLogger(__name__)

PROFILES = ("paper", "extended")
RECORD = "build.json"
RECORD_FIELDS = {"source": str, "settings": dict, "fingerprint": str, "groups": int, "clips": int}


@dataclass(frozen=True)
class BuildSettings:
    """What a build keeps of a source's actions."""

    profile: str | None = None  # one of PROFILES; None: paper for a source with published groups, else extended
    min_train_clips: int = MiningSettings.min_train_clips
    min_validation_clips: int = MiningSettings.min_validation_clips
    min_phrase_clips: int = MiningSettings.min_phrase_clips
    balance: bool = False  # draw equally many clips of both labels in each group and split
    seed: int = 0  # of the strict split and of balance
    skip_bad_rows: bool = False  # leave out and list broken rows rather than refuse the file

    def __post_init__(self):
        if self.profile not in (None, *PROFILES):
            raise ConfigError(f"unknown profile {self.profile!r}; choose from {', '.join(PROFILES)}")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it can't be negative")
        self.mining()

    def mining(self) -> MiningSettings:
        return MiningSettings(self.min_train_clips, self.min_validation_clips, self.min_phrase_clips)

    def for_source(self, source: str, is_published: bool) -> "BuildSettings":
        """The settings with the profile that is meant for a source."""
        if self.profile == "paper" and not is_published:
            raise ConfigError(f"no group of {source} is published; build it with --profile extended")
        return replace(self, profile=self.profile or ("paper" if is_published else "extended"))


@dataclass(frozen=True)
class Data:
    """The groups and clips of one source or more: the frames that tables.GROUPS and tables.CLIPS describe."""

    groups: pd.DataFrame
    clips: pd.DataFrame
    subset: dict | None = None  # what part of a build they are (see subsets.subset); None: all

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
        rows = zip(*(_as_json(column) for column in arrow.columns), strict=True)
        digest.update("".join(f"[{', '.join(cells)}]\n" for cells in rows).encode())
    return digest.hexdigest()


def _as_json(column: pa.ChunkedArray) -> list[str]:
    """Each value as JSON, plain ones in one long call: between them a line break, which is never within one."""
    values = column.to_pylist()
    if pa.types.is_list(column.type):  # few lists are not empty
        return ["[]" if value == [] else json.dumps(value, ensure_ascii=False) for value in values]
    return json.dumps(values, ensure_ascii=False, separators=("\n", ": "))[1:-1].split("\n") if values else []


@dataclass(frozen=True)
class Queue:
    """What there is to review: the frames that tables.CANDIDATES and tables.CANDIDATE_CLIPS describe."""

    candidates: pd.DataFrame
    clips: pd.DataFrame  # and perhaps more columns

    @classmethod
    def of(cls, mined: Mined) -> "Queue":
        """All that was mined."""
        return cls(mined.candidates, mined.clips(mined.candidates.group_id))


def build(
    source: str,
    annotations: Path,
    out: Path,
    settings: BuildSettings | None = None,
    verdicts: Path | None = None,
) -> dict:
    """Mine `source` from its annotation files and write OUT/<source>; return the record that build.json holds.

    The paper profile keeps the published groups that have clips of both labels in both splits; the others are listed
    in the record under `left_out`. The extended profile keeps the candidates whose verdicts come to accept: those that
    ship, and over them `verdicts`, by default OUT/verdicts/<source>.jsonl if there is one. An accept that was given on
    text alone does not count for a group that a hazard marks.

    Raises ConfigError for an unknown source or setting, or verdicts for the paper profile, AnnotationError for what is
    wrong in the files, JournalError for a broken journal, BuildError if a split has no action or no published group
    is complete, or if OUT/<source> holds a build of other files, WriteError if it can't be written.
    """
    module = load_source(source)
    name = source_name(source)
    published = published_groups(name)
    settings = (settings or BuildSettings()).for_source(name, bool(published))
    if settings.profile == "paper" and verdicts is not None:
        raise ConfigError("the paper profile needs no verdicts; give --profile extended with --verdicts")
    actions = read_actions(source, annotations, settings.skip_bad_rows)
    for split in SPLITS:
        if not (actions.frame.split == split).any():
            raise BuildError(f"{annotations}: the files hold no {split} action")
    mined = mine(
        name,
        actions.frame,
        published,
        settings=settings.mining(),
        split_label=getattr(module, "phrase", as_it_is),
        free_nouns=getattr(module, "FREE_NOUNS", False),
    )
    inputs = [*actions.inputs, *_lexicon_inputs()]
    if settings.profile == "paper":
        choice = _published_choice(mined)
        if not len(choice.groups):
            raise BuildError(f"{annotations}: no published group of {name} has clips of both labels in both splits")
    else:
        choice, journals = _accepted_choice(name, mined, journal_path(out, name, verdicts), verdicts)
        inputs += journals
    told = {
        "candidates": {"all": len(mined.candidates), "ready": int(mined.candidates.ready.sum())},
        "merged_intervals": sorted(set(actions.merged) & set(choice.clips.clip_id)),
        "skipped_rows": actions.skipped,
    }
    return write_build(name, out, settings, choice, Queue.of(mined), inputs, told)


@dataclass(frozen=True)
class Choice:
    """The groups and clips that a profile keeps, and what is to be told of the others."""

    groups: pd.DataFrame  # columns of tables.GROUPS, and perhaps more
    clips: pd.DataFrame  # columns of tables.CLIPS but strict_split
    told: dict  # for the record


def _published_choice(mined: Mined) -> Choice:
    groups = mined.candidates[mined.candidates.published_id.notna()]
    complete = (groups[list(COUNTS)] > 0).all(axis="columns")
    kept = groups[complete]
    told = {
        "left_out": [_why_left_out(row) for row in groups[~complete].itertuples()],
        "contradictory": _listed(mined.contradictory, kept.group_id),
    }
    return Choice(kept.assign(status="published"), mined.clips(kept.group_id), told)


def _listed(contradictory: pd.DataFrame, group_ids: pd.Series) -> list[dict]:
    return contradictory[contradictory.group_id.isin(group_ids)].to_dict("records")


def _accepted_choice(source: str, mined: Mined, own: Path, given: Path | None) -> tuple[Choice, list[dict]]:
    """The candidates that the journals accept; also the journals as inputs."""
    shipped, shipped_sha256 = read_shipped(source)
    ours = read_journal(own) if given or own.exists() else []
    inputs = [{"name": f"annotations/{source}.jsonl", "sha256": shipped_sha256}] if shipped_sha256 else []
    inputs += [{"name": f"verdicts/{own.name}", "sha256": sha256_of(own)}] if given or own.exists() else []
    candidates = mined.candidates
    dropped = dropped_clips([*shipped, *ours])
    with_drops = mined.clips(pd.Series([group_id for group_id, _ in dropped], dtype="str"))
    decisions = decide(candidates, with_drops, shipped, ours)
    status = candidates.group_id.map({group_id: decision.status for group_id, decision in decisions.groups.items()})
    on_text = candidates.group_id.map({key: decision.basis == "text" for key, decision in decisions.groups.items()})
    marked = (status == "accept") & on_text.astype(bool) & (candidates.hazards.str.len() > 0)
    groups = candidates[(status == "accept") & ~marked]
    clips = _without_drops(_without_contradictory(mined, groups), decisions)
    groups, clips = _swapped(groups, clips, [key for key, decision in decisions.groups.items() if decision.swap])
    groups = groups.assign(**_counts(clips, groups.group_id))
    complete = (groups[list(COUNTS)] > 0).all(axis="columns")
    kept = groups[complete]
    told = {
        "left_out": [_why_left_out(row) for row in groups[~complete].itertuples()],
        "held_back": [
            {"group_id": row.group_id, "reason": f"accepted on text, but marked by {', '.join(row.hazards)}"}
            for row in candidates[marked].itertuples()
        ],
        "contradictory": _listed(mined.contradictory, kept.group_id),
        "verdicts": {name: int((status == name).sum()) for name in (*DECISIONS, "conflict", "none")},
        "conflicts": candidates.group_id[status == "conflict"].tolist(),
        "stale": sorted({verdict.group_id for verdict in decisions.stale}),
        "unknown": sorted({verdict.group_id for verdict in decisions.unknown if verdict.reviewer != SHIPPED}),
    }
    return Choice(kept.assign(status="accepted"), clips[clips.group_id.isin(kept.group_id)], told), inputs


def _without_contradictory(mined: Mined, groups: pd.DataFrame) -> pd.DataFrame:
    """The clips of the groups, but for those narrated under both labels."""
    keys = ["group_id", "clip_id"]
    clips = mined.clips(groups.group_id)
    return clips[~_keys(clips).isin(_keys(mined.contradictory[keys]))]


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["group_id", "clip_id"]])


def _without_drops(clips: pd.DataFrame, decisions: Decisions) -> pd.DataFrame:
    dropped = [(key, clip_id) for key, decision in decisions.groups.items() for clip_id in decision.dropped]
    return clips[~_keys(clips).isin(pd.MultiIndex.from_tuples(dropped))] if dropped else clips


def _swapped(groups: pd.DataFrame, clips: pd.DataFrame, ids: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables with the labels of some groups turned round."""
    turned = groups.group_id.isin(ids)
    forward = groups.forward.where(~turned, groups.reverse)
    groups = groups.assign(reverse=groups.reverse.where(~turned, groups.forward), forward=forward)
    label = clips.label.where(~clips.group_id.isin(ids), 1 - clips.label).astype(np.int8)
    return groups, clips.assign(label=label)


def _counts(clips: pd.DataFrame, group_ids: pd.Series) -> dict[str, list[int]]:
    return count_clips(clips.group_id, clips.split, clips.label, group_ids)


def build_synthetic(out: Path, size: str = "small", seed: int = 0, progress: Progress = silent) -> dict:
    """Render the synthetic source into OUT/synthetic with its tables; return the record that build.json holds.

    Raises ConfigError for an unknown size or a negative seed, BuildError if OUT/synthetic holds another build,
    WriteError if it can't be written.
    """
    from cia_bench.sources.synthetic import plan, planned_actions, planned_groups
    from cia_bench.sources.synthetic.videos import render_videos, renderer

    folder = out / SYNTHETIC
    clips = plan(size, seed)
    mined = mine(SYNTHETIC, planned_actions(clips), planned_groups(), Lexicon([]))
    candidates = mined.candidates.assign(lexicon_row="synthetic:" + mined.candidates.published_id, published_id=None)
    queue = Queue(candidates, mined.clips(candidates.group_id))
    choice = Choice(candidates.assign(status="rendered"), queue.clips, {})
    data = _data(choice, strict_split(choice.clips, SYNTHETIC, seed))
    record = {
        **_record(SYNTHETIC, {"size": size, "seed": seed}, data, choice.told, []),
        "versions": versions("av", "pillow"),
    }
    _refuse_other_build(folder, record)
    render_videos(clips, folder / "videos", renderer(), progress)
    _write(folder, record, queue, data)
    return record


def write_build(
    source: str,
    out: Path,
    settings: BuildSettings,
    choice: Choice,
    queue: Queue,
    inputs: list[dict],
    told: dict,
) -> dict:
    """Balance and split strictly what was chosen, write it to OUT/<source>, and return the record of it.

    `told` goes into the record. Raises BuildError if OUT/<source> holds a build of other files, WriteError if it can't
    be written.
    """
    if settings.balance:
        clips = balance(choice.clips, source, settings.seed)
        choice = Choice(choice.groups.assign(**_counts(clips, choice.groups.group_id)), clips, choice.told)
    strict = strict_split(choice.clips, source, settings.seed)
    data = _data(choice, strict)
    about_split = {
        "kept_apart": strict.kept_apart,
        "validation_rows": int((strict.splits == SPLITS[1]).sum()),
        "groups_without_a_label": strict.groups_without_a_label,
    }
    record = _record(source, asdict(settings), data, {**choice.told, **told, "strict_split": about_split}, inputs)
    _refuse_other_build(out / source, record)
    _write(out / source, record, queue, data)
    return record


def _data(choice: Choice, strict: StrictSplit) -> Data:
    groups = choice.groups[[*GROUPS.schema.names]]
    return Data(groups, choice.clips.assign(strict_split=strict.splits))


def _record(source: str, settings: dict, data: Data, told: dict, inputs: list[dict]) -> dict:
    return {
        "source": source,
        "settings": settings,
        "fingerprint": data.fingerprint(source),
        "groups": len(data.groups),
        "clips": int(data.clips.clip_id.nunique()),
        "inputs": inputs,
        **told,
        "versions": versions(),
    }


def _lexicon_inputs() -> list[dict]:
    names = (PUBLISHED_LIST, PAIRS, WORDNET, NOUNS)
    digests = {name: hashlib.sha256(read_lexicon_text(name).encode()).hexdigest() for name in names}
    return [{"name": f"verb_pairs/{name}", "sha256": digest} for name, digest in digests.items()]


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
    """Raise BuildError if the folder holds a build that the same files would not make again."""
    if not (folder / RECORD).exists():
        return
    old = read_record(folder)
    if (old["fingerprint"], old["settings"]) == (record["fingerprint"], record["settings"]):
        return
    files = _owners_files(record)
    if not files or _owners_files(old) != files:
        raise BuildError(
            f"{folder} holds another build ({settings_in_words(old)}, {old['groups']} groups, fingerprint "
            f"{old['fingerprint'][:12]}); delete it or choose another --out"
        )
    logger.warning("%s: replaces the build with %s, which the same files make again", folder, settings_in_words(old))


def _owners_files(record: dict) -> list:
    """The annotation files that a build was made from: its inputs that are not ours."""
    return [entry for entry in record.get("inputs", []) if "/" not in entry["name"]]


def settings_in_words(record: dict) -> str:
    """The settings of a build that are not the defaults."""
    defaults = asdict(BuildSettings())
    changed = {name: value for name, value in record["settings"].items() if value != defaults.get(name)}
    if record["source"] == SYNTHETIC:
        changed = record["settings"]
    return ", ".join(f"{name} {value}" for name, value in changed.items())


def _write(folder: Path, record: dict, queue: Queue, data: Data) -> None:
    with whole_files(folder, seal=RECORD) as scratch:
        GROUPS.write(scratch / "groups.parquet", data.groups)
        CLIPS.write(scratch / "clips.parquet", data.clips)
        CANDIDATES.write(scratch / "candidates.parquet", queue.candidates)
        CANDIDATE_CLIPS.write(scratch / "candidate_clips.parquet", queue.clips[CANDIDATE_CLIPS.schema.names])
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
