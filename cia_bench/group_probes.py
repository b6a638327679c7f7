"""Fit a probe on each chiral group's training clips, and let it answer for the group's validation clips."""

import os
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain, pairwise

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cia_bench.embeddings import Embeddings
from cia_bench.errors import BuildError, ProbeError
from cia_bench.probes import Probe, RidgeRefits, count_balanced, make_folds
from cia_bench.protocols import EvaluationSettings
from cia_bench.scoring import DISCOVERY
from cia_bench.significance import enough_for, fisher_test, permute_labels, sequential_p
from cia_bench.tables import SPLITS

GROUPS_AT_ONCE = 8  # on as many cores: each holds its clips in float64
AT_ONCE = 128  # labellings refitted before it is asked whether that is enough


@dataclass(frozen=True)
class ScoredGroup:
    """What the probe answers for each validation clip of a group, in the order of its rows, and the test of that."""

    group_id: str
    answers: dict[str, np.ndarray]  # score, prediction, constant, and train, the number of clips that were learnt from
    test: dict  # against chance: name, and p, None where there is no such test for this probe


def score_groups(
    clips: pd.DataFrame, embeddings: Embeddings, probe: Probe, settings: EvaluationSettings
) -> list[ScoredGroup]:
    """Score each group of `clips`, rows ordered by group_id with columns split, label, unit, row and embedded.

    Several are scored at once, each on one thread: its products are small, and threads would wait for one another. Sums
    are then the same however many cores there are.

    Raises BuildError if a group lacks a label on a side, ProbeError if its numbers can't be fitted.
    """
    columns = _Columns(*(clips[field.name].to_numpy() for field in fields(_Columns)))
    group_ids, first = np.unique(clips.group_id.to_numpy(object), return_index=True)
    parts = [columns[start:stop] for start, stop in pairwise([*first, len(clips)])]
    on_cores = settings.probe == "ridge" and probe.device is None
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, GROUPS_AT_ONCE) if on_cores else 1)
    try:
        with threadpool_limits(1, "blas"):
            one = partial(_score_group, embeddings=embeddings, probe=probe, settings=settings)
            return list(pool.map(one, group_ids, parts))
    finally:
        pool.shutdown(cancel_futures=True)


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
class _Group:
    """The embedded clips of a group on both sides of the split, with their vectors."""

    group_id: str
    train: _Columns
    validation: _Columns
    learnt: np.ndarray  # (N, D), or (N, T, D) for a probe that takes frames
    new: np.ndarray  # likewise, of validation

    def both(self, name: str) -> np.ndarray:
        """A column of the training clips, then of the validation clips."""
        return np.concatenate([getattr(self.train, name), getattr(self.validation, name)])


def _score_group(
    group_id: str, clips: _Columns, embeddings: Embeddings, probe: Probe, settings: EvaluationSettings
) -> ScoredGroup:
    """Let the probe, and the majority of the training clips, answer for the validation clips."""
    train, validation = (clips[clips.embedded & (clips.split == split)] for split in SPLITS)
    for split, part in zip(SPLITS, (train, validation), strict=True):
        absent = {0, 1} - set(part.label.tolist())
        if absent:
            label = min(absent)
            were = ((clips.split == split) & (clips.label == label)).any()
            why = "all of them failed to embed" if were else "cia verify says more"
            raise BuildError(f"group {group_id!r} has no clip of label {label} in {split}; {why}")
    vectors = (embeddings.vectors[part.row] for part in (train, validation))
    group = _Group(group_id, train, validation, *vectors)
    probe = copy(probe)  # its own, to fit
    try:
        score = settings.fit_probe(group.learnt, train.label, train.unit, probe).decision_function(group.new)
    except ProbeError as error:
        raise ProbeError(f"{embeddings.place}, group {group_id!r}: {error}") from error
    majority = int(2 * train.label.sum() > len(train))  # a tie answers 0, as scikit-learn's DummyClassifier does
    answers = {
        "score": score,
        "prediction": (score > 0).astype(np.int8),
        "constant": np.full(len(score), majority, np.int8),
        "train": np.full(len(score), len(train)),
    }
    return ScoredGroup(group_id, answers, _test(group, answers["prediction"], probe, settings))


def _test(group: _Group, prediction: np.ndarray, probe: Probe, settings: EvaluationSettings) -> dict:
    """A test of the predictions against chance.

    Where no two clips share a subject or a video it is Fisher's; else labels are permuted and the probe fitted again.
    """
    units = group.both("unit")
    if len(np.unique(units)) == len(units):
        return {"name": "fisher", "p": fisher_test(prediction, group.validation.label)}
    if not settings.permutations or settings.probe != "ridge":
        return {"name": "permutation", "p": None}
    return {"name": "permutation", "p": _permutation_test(group, probe, settings)}


def _permutation_test(group: _Group, probe: Probe, settings: EvaluationSettings) -> float:
    """p of the ridge probe, fitted to permuted labels with its regularisation chosen anew (see permute_labels).

    No more are refitted once p is sure to be above the false discovery rate that groups are counted at: see
    sequential_p.
    """
    N, train = len(group.train), group.train
    labels, units = group.both("label"), group.both("unit")
    side = (np.arange(len(labels)) >= N).astype(int)
    both_sides = np.intersect1d(train.unit, group.validation.unit).size > 0
    strata = units * 2 + side if both_sides else side  # a person that training knows may not pass for another
    generator = np.random.default_rng([settings.seed, *group.group_id.encode()])
    labellings = np.concatenate([labels[None], permute_labels(labels, units, strata, settings.permutations, generator)])
    folds = make_folds(train.unit, np.zeros(N, int), settings.seed) if settings.rules.choose else None
    refits = RidgeRefits(probe, group.learnt, group.new, folds)

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
