"""Import the published CiA splits as their authors' CSVs have them, beside which our own builds can be held."""

from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd

from cia_bench.build import BuildSettings, Choice, Queue, write_build
from cia_bench.errors import ConfigError
from cia_bench.lexicon import published_groups
from cia_bench.mining import ANY, PublishedName, as_it_is, count_clips, published_name
from cia_bench.sources import load_source
from cia_bench.sources.files import AnnotationFiles
from cia_bench.tables import SPLITS

WHERE = "get them from https://huggingface.co/datasets/bpiyush/chirality-in-action"
COLUMNS = ("id", "chiral_triplet_id", "chiral_label")
CAPTIONS = ("template", "caption", "narration", "text")  # the column that says what is done, by source
LABELS = {"1.0": 1, "0.0": 0, "1": 1, "0": 0}


def build_published(source: str, folder: Path, out: Path, settings: BuildSettings | None = None) -> dict:
    """Import `cia-<source>-train.csv` and `-validation.csv` of `folder` into OUT/<source>; return build.json's record.

    All their rows are kept, each (group, clip) once. Times are those of the ids, rounded to 0.1 s. Groups of the
    published list have its phrases and noun; others are named by their id, with the first caption of each label.

    Raises ConfigError for a source without published splits, AnnotationError for missing files and broken rows,
    BuildError if OUT/<source> holds another build, WriteError if it can't be written.
    """
    module = load_source(source)
    known = published_groups(source)
    if not known:
        raise ConfigError(f"no split of {source} is published; build it from its annotation files")
    names = {split: f"cia-{source}-{split}.csv" for split in SPLITS}
    settings = (settings or BuildSettings()).for_source(source, True)
    files = AnnotationFiles(folder, SimpleNamespace(FILES=tuple(names.values()), WHERE=WHERE), settings.skip_bad_rows)
    parts = [_read_split(files, name, module).assign(split=split) for split, name in names.items()]
    both = set(parts[0].id) & set(parts[1].id)
    parts[1] = files.keep(names["validation"], parts[1], ~parts[1].id.isin(both), "id {id} is in the training file too")
    rows = pd.concat(parts, ignore_index=True)
    names_by_id = _group_names(source, rows, module)
    clips = _as_clips(source, rows, names_by_id)
    groups = _as_groups(source, clips, names_by_id)
    twice = rows.duplicated(["chiral_triplet_id", "id"])
    labels = rows.groupby(["chiral_triplet_id", "id"]).label.transform("nunique")
    conflicting = rows[twice & (labels > 1)]
    contradictory = [
        {"group_id": names_by_id[row.chiral_triplet_id].group_id, "clip_id": row.id} for row in conflicting.itertuples()
    ]
    candidates = groups.assign(hazards=[[]] * len(groups), risk=0.0, ready=True)
    choice = Choice(
        groups.drop(columns="lexicon_row").assign(status="imported"), clips, {"contradictory": contradictory}
    )
    told = {"imported": True, "skipped_rows": [vars(fault) for fault in files.skipped]}
    return write_build(source, out, settings, choice, Queue(candidates, clips), files.inputs(), told)


def _read_split(files: AnnotationFiles, name: str, module: ModuleType) -> pd.DataFrame:
    """Columns id, chiral_triplet_id, label, caption, video, start_s and stop_s."""
    header = files.header(name)
    caption = next((column for column in CAPTIONS if column in header), None)
    rows = files.csv(name, COLUMNS if caption is None else (*COLUMNS, caption))
    rows = rows.rename(columns={caption: "caption"}) if caption else rows.assign(caption="")
    rows = files.keep(name, rows, rows.chiral_label.isin(LABELS), "chiral_label {chiral_label} is not 1.0 or 0.0")
    rows = files.keep(name, rows, rows.chiral_triplet_id != "", "id {id} has no chiral_triplet_id")
    intervals = {clip_id: _interval(module, clip_id) for clip_id in rows.id.unique()}
    good = rows.id.map(intervals).notna()
    rows = files.keep(name, rows, good, "id {id} is no clip id of " + module.__name__.rpartition(".")[2])
    video, start_s, stop_s = zip(*rows.id.map(intervals), strict=True) if len(rows) else ((), (), ())
    rows = rows.assign(video=video, start_s=start_s, stop_s=stop_s, label=rows.chiral_label.map(LABELS))
    rows = rows.astype({"start_s": float, "stop_s": float})
    forwards = rows.start_s.isna() | (rows.start_s < rows.stop_s)
    return files.keep(name, rows, forwards, "id {id} does not stop after it starts")


def _interval(module: ModuleType, clip_id: str) -> tuple | None:
    try:
        return module.interval(clip_id)
    except ValueError:
        return None


def _group_names(source: str, rows: pd.DataFrame, module: ModuleType) -> dict[str, PublishedName]:
    """What each group is called, by its published id."""
    split_label = getattr(module, "phrase", as_it_is)
    names = {group.published_id: published_name(source, group, split_label) for group in published_groups(source)}
    first = rows[rows.caption != ""].groupby(["chiral_triplet_id", "label"]).caption.first().to_dict()
    for published_id in rows.chiral_triplet_id.unique():
        if published_id not in names:
            forward, reverse = (first.get((published_id, label), f"label {label}") for label in (1, 0))
            row = f"cia-{source}:{published_id}"
            names[published_id] = PublishedName(f"{source}/{published_id}", forward, reverse, ANY, row)
    return names


def _as_clips(source: str, rows: pd.DataFrame, names: dict[str, PublishedName]) -> pd.DataFrame:
    rows = rows.drop_duplicates(["chiral_triplet_id", "id"], ignore_index=True)
    named = [names[published_id] for published_id in rows.chiral_triplet_id]
    verbs = [name.forward if label else name.reverse for name, label in zip(named, rows.label, strict=True)]
    has_person = rows.video.str.contains("/", regex=False)
    return pd.DataFrame(
        {
            "group_id": [name.group_id for name in named],
            "clip_id": rows.id,
            "source": source,
            "video": rows.video,
            "start_s": rows.start_s,
            "stop_s": rows.stop_s,
            "label": rows.label.astype(np.int8),
            "verb": verbs,
            "noun": [name.noun for name in named],
            "text": rows.caption,
            "split": rows.split,
            "subject": rows.video.str.split("/").str[0].where(has_person, None),
            "hazards": [[]] * len(rows),
        }
    )


def _as_groups(source: str, clips: pd.DataFrame, names: dict[str, PublishedName]) -> pd.DataFrame:
    present = {published_id: name for published_id, name in names.items() if name.group_id in set(clips.group_id)}
    groups = pd.DataFrame([vars(name) for name in present.values()])
    counts = count_clips(clips.group_id, clips.split, clips.label, groups.group_id)
    return groups.assign(source=source, published_id=list(present), **counts)
