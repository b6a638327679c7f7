"""Score embeddings on chiral groups: embeddings + clips -> result."""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cia_bench.build import Data, read_data, versions
from cia_bench.combined import RAW, check_combination, name_with
from cia_bench.contamination import count_contamination
from cia_bench.controls.scores import score_controls
from cia_bench.coverage import count_coverage, refuse_low_coverage
from cia_bench.embedding_checks import ZEROS, refuse_one_vector, refuse_other_clips, shared_vectors, without_zeros
from cia_bench.embeddings import Embeddings, load_embeddings, load_model
from cia_bench.encoders import choose_device
from cia_bench.errors import BuildError, ConfigError, EmbeddingError, ProbeError, some
from cia_bench.probes import Probe, RidgeRefits, count_balanced, make_folds
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import Result
from cia_bench.scoring import DISCOVERY, group_rows, mean_over_sources, score_source
from cia_bench.significance import enough_for, fisher_test, permute_labels, sequential_p
from cia_bench.splits import joined
from cia_bench.store import is_store
from cia_bench.subsets import subset
from cia_bench.tables import PREDICTIONS, SPLITS

GROUPS_AT_ONCE = 8  # scored, on as many cores: each holds its clips in float64
AT_ONCE = 128  # labellings refitted before it is asked whether that is enough


def evaluate(
    embeddings: Path | str | pd.DataFrame | tuple | Embeddings,
    data: Path | str | Data,
    model: str | None = None,
    parameters: int | None = None,
    sources: Iterable[str] = (),
    settings: EvaluationSettings | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    combine: str = RAW,
    controls: bool = False,
    *,
    groups: Iterable[str] = (),
    max_clips: int | None = None,
) -> Result:
    """Fit a probe on each group's training clips and score its validation clips (arXiv 2509.08502, linear probe).

    `embeddings` is a store, a file (see load_embeddings), a frame with columns clip_id and embedding, one vector a
    clip, a pair of clip ids and an array of their vectors, or what load_model returns. `data` is a data folder or what
    `read_data` returns. `model` says which model of a store, with the `weights` of its summary, and `combine` how its
    parts are joined (see load_model); otherwise it names the model, by default after the file. The summary runs on
    `device`; if that is CUDA's, ridge is solved there too, with the same answers. `parameters` is the model's number of
    parameters. Without `sources`, all built sources that have any embedding are scored,
    the others are listed in the record. With `groups` or `max_clips` only a part of them is (see subsets.subset). Clips
    that failed to embed in a store, or whose vector is all zeros, are left out, which the record's coverage tells by
    source and group; a source that lacks more than settings.min_coverage allows is refused. With
    `controls` the record tells how the model scores once time is changed (see cia_bench.controls).

    Raises EmbeddingError if embeddings are unreadable, not finite, all the same, of clips that are not in `data` or
    stand there twice, lacking for some clip of a scored source, or if too many of a source's clips failed; BuildError
    if the data is damaged or a group lacks a label; ProbeError if the numbers are too large to fit.
    """
    settings = settings or EvaluationSettings()
    probe = settings.new_probe(choose_device(device) if device.startswith("cuda") else None)
    whole = data if isinstance(data, Data) else read_data(data)
    everything = part_of(whole, list(sources), groups, max_clips, settings)
    loaded = without_zeros(load_to_score(embeddings, model, weights or {}, device, combine, everything, settings))
    name = loaded.origin["name"] if model is None else name_with(model, combine)
    parameters = loaded.parameters if parameters is None else parameters
    if not name.strip():
        raise ConfigError("the model's name is empty; give it one")
    if parameters is not None and parameters < 0:
        raise ConfigError(f"the model's number of parameters is {parameters}; it can't be negative")
    refuse_other_clips(loaded, whole.clips)
    scored = _choose_sources(loaded, everything, list(sources))
    clips = _scored_clips(everything, scored, loaded, settings)
    left_out = [] if settings.rules.split == "split" else without_a_label(clips)
    clips = clips[~clips.group_id.isin(left_out)]
    coverage = {source: count_coverage(group) for source, group in clips.groupby("source")}
    zeros = sum(reason == ZEROS for reason in loaded.failures.values())
    for source in scored:
        if source not in coverage:
            raise BuildError(f"{settings.rules.split} leaves no group of {source} with both labels on both sides")
        refuse_low_coverage(loaded.place, source, coverage[source], settings.min_coverage, zeros)
        refuse_one_vector(loaded, source, clips[clips.source == source])
    shared = shared_vectors(loaded)
    scored_groups = _score_groups(clips, loaded, probe, settings)
    names = scored_groups[0].answers
    answers = {name: np.concatenate([group.answers[name] for group in scored_groups]) for name in names}
    predictions = clips[clips.embedded & (clips.split == SPLITS[1])].reset_index(drop=True).assign(**answers)
    parts = {source: score_source(source, predictions[predictions.source == source], settings) for source in scored}
    record = {
        "model": {
            "name": name,
            "parameters": parameters,
            "dim": int(np.prod(loaded.vectors.shape[1:])),
            "saw": loaded.origin.get("saw"),  # see encoders.Card; None: not known
        },
        "embeddings": loaded.origin,
        "protocol": settings.describe_protocol(),
        "statistics": {name: getattr(settings, name) for name in ("level", "draws", "permutations", "seed")},
        "min_coverage": settings.min_coverage,
        "subset": everything.subset,  # see subsets.subset; None: all that was built
        "sources": {
            source: {
                "fingerprint": everything.fingerprint(source),
                **part.record,
                "coverage": coverage[source],
                "shared_vectors": _count_shared(clips[clips.source == source], shared),
            }
            for source, part in parts.items()
        },
        "contamination": count_contamination(clips, loaded.origin.get("saw"), loaded.saw),
        "left_out_sources": [source for source in everything.source_names() if source not in scored],
        "left_out_groups": left_out,
        "mean": mean_over_sources(list(parts.values()), settings.level),
        "groups": group_rows(
            predictions,
            {group_id: count_coverage(group) for group_id, group in clips.groupby("group_id")},
            {group.group_id: group.test for group in scored_groups},
            settings.level,
        ),
        "versions": versions(),
    }
    if controls:
        record["controls"], by_group = score_controls(loaded, clips, predictions, settings)
        record["groups"] = [row | by_group.get(row["group_id"], {}) for row in record["groups"]]
    return Result(record, predictions[PREDICTIONS.schema.names])


def part_of(
    data: Data, sources: list[str], groups: Iterable[str], max_clips: int | None, settings: EvaluationSettings
) -> Data:
    """What is to be scored of the data, as evaluate is asked; raises ConfigError for an unknown source or group."""
    unknown = [source for source in sources if source not in data.source_names()]
    if unknown:
        raise ConfigError(f"no source {unknown[0]!r} in the data; choose from {', '.join(data.source_names())}")
    groups = [groups] if isinstance(groups, str) else list(groups)
    if not groups and max_clips is None:
        return data
    asked = Data(*(frame[frame.source.isin(sources)] for frame in (data.groups, data.clips)), data.subset)
    return subset(asked if sources else data, groups, max_clips, settings.seed, settings.rules.split)


def _count_shared(clips: pd.DataFrame, shared: pd.Index) -> dict:
    """How many of a source's clips are among those that share their vector, and one of them."""
    ids = clips.clip_id[clips.embedded & clips.clip_id.isin(shared)].unique()
    return {"clips": len(ids), "example": ids[0] if len(ids) else None}


def load_to_score(
    embeddings,
    model: str | None,
    weights: Mapping[str, str],
    device: str,
    combine: str,
    data: Data,
    settings: EvaluationSettings,
) -> Embeddings:
    """The embeddings that `evaluate` scores when it gets the same arguments."""
    check_combination(combine)
    ready = isinstance(embeddings, Embeddings | pd.DataFrame | tuple)
    if not ready and is_store(Path(embeddings)):
        clip_ids = data.clips.clip_id.unique()
        return load_model(embeddings, model, weights, clip_ids, device, combine, settings.new_probe().takes_frames)
    if combine != RAW:
        raise ConfigError(f"combine {combine} is for the models of a store; embeddings of a file are what they are")
    if isinstance(embeddings, Embeddings):
        return embeddings
    if weights:
        raise ConfigError("weights are for the models of a store; the embeddings of a file are what they are")
    return load_embeddings(embeddings)


def _choose_sources(embeddings: Embeddings, data: Data, asked: list[str]) -> list[str]:
    """The sources to score; raises EmbeddingError unless each of their clips has an embedding or is known to fail."""
    place, ids = embeddings.place, embeddings.clip_ids
    tried = {*ids, *embeddings.failures}  # sets: pandas takes long to ask text of its own type for many values
    scored = []
    for source in asked or data.source_names():
        clips = list(dict.fromkeys(data.clips.clip_id[data.clips.source == source].to_numpy(object)))
        untried = [clip_id for clip_id in clips if clip_id not in tried]
        if len(untried) == len(clips) and not asked:
            continue
        if untried:
            raise EmbeddingError(f"{place} lacks {some(untried)} of the {len(clips)} clips of {source}")
        scored.append(source)
    return sorted(set(scored))


def _scored_clips(data: Data, sources: list[str], embeddings: Embeddings, settings: EvaluationSettings) -> pd.DataFrame:
    """The rows of the sources' clips, ordered by key, with what scoring needs to know of each.

    `split` is the protocol's; `row` is where the embedding is, -1 if it failed, and `embedded` says which; `unit`
    numbers the clips that chains of common subjects and videos join.
    """
    columns = ["group_id", "clip_id", "source", "label", settings.rules.split, "subject", "video"]
    parts = []
    for source in sources:
        clips = data.of(source).clips[columns].rename(columns={settings.rules.split: "split"})
        parts.append(clips.assign(unit=joined(clips)))
    clips = pd.concat(parts).sort_values(["group_id", "clip_id"], ignore_index=True)
    row = embeddings.clip_ids.get_indexer(clips.clip_id)
    return clips.assign(row=row, embedded=row >= 0)


def without_a_label(clips: pd.DataFrame) -> list[str]:
    """The groups that a drawn split leaves without clips of a label on a side, whoever embeds them."""
    cells = clips.groupby(["group_id", "split", "label"]).size().groupby("group_id").size()
    return sorted(cells.index[cells < len(SPLITS) * 2])


@dataclass(frozen=True)
class _Columns:
    """What fitting needs of clips, (N,) each: plain arrays, which are taken apart group by group in no time."""

    split: np.ndarray
    label: np.ndarray
    unit: np.ndarray
    row: np.ndarray
    embedded: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice | np.ndarray) -> "_Columns":
        return _Columns(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class _ScoredGroup:
    """What the probe answers for each validation clip of a group, in the order of its rows, and the test of that."""

    group_id: str
    answers: dict[str, np.ndarray]  # score, prediction, constant, and train, the number of clips that were learnt from
    test: dict


def _score_groups(
    clips: pd.DataFrame, embeddings: Embeddings, probe: Probe, settings: EvaluationSettings
) -> list[_ScoredGroup]:
    """Score each group, several at once, each on one thread: its products are small, and threads would wait.

    Sums are then the same however many cores there are.
    """
    columns = _Columns(*(clips[field.name].to_numpy() for field in fields(_Columns)))
    group_ids, first = np.unique(clips.group_id.to_numpy(object), return_index=True)  # rows are ordered by it
    parts = [columns[start:stop] for start, stop in pairwise([*first, len(clips)])]
    on_cores = settings.probe == "ridge" and probe.device is None
    at_once = min(os.cpu_count() or 1, GROUPS_AT_ONCE) if on_cores else 1
    pool = ThreadPoolExecutor(at_once)
    try:
        with threadpool_limits(1, "blas"):
            one = partial(_score_group, embeddings=embeddings, probe=probe, settings=settings)
            return list(pool.map(one, group_ids, parts))
    finally:
        pool.shutdown(cancel_futures=True)


def _score_group(
    group_id: str, clips: _Columns, embeddings: Embeddings, probe: Probe, settings: EvaluationSettings
) -> _ScoredGroup:
    """Fit a group's probe on its training clips and let it and the train majority answer for its validation clips."""
    train, validation = (clips[clips.embedded & (clips.split == split)] for split in SPLITS)
    for split, part in zip(SPLITS, (train, validation), strict=True):
        absent = {0, 1} - set(part.label.tolist())
        if absent:
            label = min(absent)
            were = ((clips.split == split) & (clips.label == label)).any()
            why = "all of them failed to embed" if were else "cia verify says more"
            raise BuildError(f"group {group_id!r} has no clip of label {label} in {split}; {why}")
    learnt, new = embeddings.vectors[train.row], embeddings.vectors[validation.row]
    probe = copy(probe)  # its own, to fit
    try:
        fitted = settings.fit_probe(learnt, train.label, train.unit, probe)
        score = fitted.decision_function(new)
    except ProbeError as error:
        raise ProbeError(f"{embeddings.place}, group {group_id!r}: {error}") from error
    majority = int(2 * train.label.sum() > len(train))  # a tie answers 0, as scikit-learn's DummyClassifier does
    prediction = (score > 0).astype(np.int8)
    answers = {"score": score, "prediction": prediction}
    answers |= {"constant": np.full(len(score), majority, np.int8), "train": np.full(len(score), len(train))}
    return _ScoredGroup(group_id, answers, _test(group_id, probe, learnt, new, train, validation, prediction, settings))


def _test(
    group_id: str,
    probe: Probe,
    learnt: np.ndarray,
    new: np.ndarray,
    train: _Columns,
    validation: _Columns,
    prediction: np.ndarray,
    settings: EvaluationSettings,
) -> dict:
    """A test of the predictions against chance: its name, and p, None where there is no such test for this probe.

    Where no two clips share a subject or a video it is Fisher's; else labels are permuted and the probe fitted again.
    """
    units = np.concatenate([train.unit, validation.unit])
    if len(np.unique(units)) == len(units):
        return {"name": "fisher", "p": fisher_test(prediction, validation.label)}
    if not settings.permutations or settings.probe != "ridge":
        return {"name": "permutation", "p": None}
    return {"name": "permutation", "p": _permutation_test(group_id, probe, learnt, new, train, validation, settings)}


def _permutation_test(
    group_id: str,
    probe: Probe,
    learnt: np.ndarray,
    new: np.ndarray,
    train: _Columns,
    validation: _Columns,
    settings: EvaluationSettings,
) -> float:
    """p of the ridge probe, fitted to permuted labels with its regularisation chosen anew (see permute_labels).

    No more are refitted once p is sure to be above the false discovery rate that groups are counted at: see
    sequential_p.
    """
    N = len(train)
    labels, units = (
        np.concatenate([getattr(part, name) for part in (train, validation)]) for name in ("label", "unit")
    )
    side = (np.arange(len(labels)) >= N).astype(int)
    both_sides = np.intersect1d(train.unit, validation.unit).size > 0
    strata = units * 2 + side if both_sides else side  # a person that training knows may not pass for another
    generator = np.random.default_rng([settings.seed, *group_id.encode()])
    labellings = np.concatenate([labels[None], permute_labels(labels, units, strata, settings.permutations, generator)])
    folds = make_folds(train.unit, np.zeros(N, int), settings.seed) if settings.rules.choose else None
    refits = RidgeRefits(probe, learnt, new, folds)

    def qualities(first: int) -> np.ndarray:
        part = labellings[first : first + AT_ONCE]
        second = part[:, N:] == 1
        right = (refits.decision_function(part[:, :N]).T > 0) == second
        # in whole numbers: all labellings have as many clips of each label, so that only their order counts
        return count_balanced(right, second) if settings.rules.balanced else right.sum(axis=1)

    parts = map(qualities, range(0, len(labellings), AT_ONCE))
    with_true = next(parts)
    enough = enough_for(DISCOVERY, settings.permutations)
    return sequential_p(with_true[0], chain([with_true[1:]], parts), enough)
