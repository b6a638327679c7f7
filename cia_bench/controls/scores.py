"""Score a model's time controls by the result's own protocol, on its own clips and draws."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from cia_bench.controls import ARROW, CONTROLS, FLIP_RATE, GAIN, MEASURES, ORDER_BLIND
from cia_bench.controls.variants import Variants
from cia_bench.embeddings import Embeddings
from cia_bench.errors import ProbeError
from cia_bench.frame_order import REVERSED
from cia_bench.probes import Probe
from cia_bench.protocols import EvaluationSettings
from cia_bench.scoring import group_accuracies, interval_of, to_resample
from cia_bench.statistics import mean_draws, paired_differences, resample_group_mean

NO_FRAMES = "a file of embeddings has no frames to change; a store that cia extract wrote has them"


def score_controls(
    embeddings: Embeddings, clips: pd.DataFrame, predictions: pd.DataFrame, settings: EvaluationSettings
) -> tuple[dict, dict[str, dict]]:
    """All controls of a model for a result's record, and what they add to each group's row, by its id.

    `clips` are the result's rows (columns group_id, clip_id, split, label, unit, row and embedded), `predictions` the
    model's answers for its validation rows. A control that this model does not have says why.

    Raises ProbeError for vectors that can't be fitted, and what Variants raises.
    """
    if embeddings.model is None:
        return {name: {"reason": NO_FRAMES} for name in MEASURES}, {}
    embedded = clips[clips.embedded]
    rows = np.unique(embedded.row)
    clip_ids = embeddings.clip_ids[rows].tolist()
    at = pd.Index(clip_ids)
    train = embedded[embedded.split == "train"]
    train = train.assign(row=at.get_indexer(train.clip_id))
    answered = predictions.reset_index(drop=True).assign(row=at.get_indexer(predictions.clip_id))
    variants = Variants(embeddings.model, clip_ids, settings.new_probe().takes_frames)
    group = _Groups(train, answered, settings, embeddings.place)
    reasons = {change: variants.reason(change) for change in CONTROLS if change != ARROW}
    reasons |= dict.fromkeys((ARROW, FLIP_RATE), reasons[REVERSED]) | {GAIN: reasons[ORDER_BLIND]}
    right = {}
    for name in (name for name in CONTROLS if name not in (ARROW, REVERSED) and reasons[name] is None):
        right[name] = group.refitted(variants.vectors(name), name)
    if reasons[REVERSED] is None:
        forward, backward = embeddings.vectors[rows], variants.vectors(REVERSED)
        right[ARROW] = group.told_apart(forward, backward)
        right |= group.turned(forward, backward)
    counted = _counted(answered, right, settings)
    record = {name: counted[name] if reasons[name] is None else {"reason": reasons[name]} for name in MEASURES}
    return record, _by_group(answered, right, settings)


class _Groups:
    """The training rows and the answered validation rows of all groups; `row` says where a clip's vector is.

    Each method gives how much of each answered row is right, (N,), from 0 to 1.
    """

    def __init__(self, train: pd.DataFrame, answered: pd.DataFrame, settings: EvaluationSettings, place: str):
        self.train, self.answered = dict(list(train.groupby("group_id"))), answered
        self.settings, self.place = settings, place

    def refitted(self, vectors: np.ndarray, name: str) -> np.ndarray:
        """The probe learns from changed clips and answers for changed clips."""

        def right(train: pd.DataFrame, answered: pd.DataFrame) -> np.ndarray:
            probe = self.settings.fit_probe(vectors[train.row], train.label.to_numpy(), train.unit.to_numpy())
            return (probe.decision_function(vectors[answered.row]) > 0) == (answered.label == 1)

        return self._each(right, name)

    def told_apart(self, forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        """The arrow of time: a probe learns forward against reversed, and a row's part is the share of its two copies.

        Both copies of a clip are on the same side of the split, and in the same fold. Copies with one vector get one
        score, so that one of them is right: on rows of a matrix that are alike, a product may still differ by rounding.
        """

        def right(train: pd.DataFrame, answered: pd.DataFrame) -> np.ndarray:
            learnt = np.concatenate([forward[train.row], backward[train.row]])
            direction = np.repeat([1, 0], len(train))
            probe = self.settings.fit_probe(learnt, direction, np.tile(train.unit.to_numpy(), 2))
            first, second = _two_scores(probe, forward[answered.row], backward[answered.row])
            return ((first > 0).astype(float) + (second <= 0)) / 2

        return self._each(right, ARROW)

    def turned(self, forward: np.ndarray, backward: np.ndarray) -> dict[str, np.ndarray]:
        """The probe of forward clips answers for reversed ones: where that is the opposite label, and a new answer."""

        def answers(train: pd.DataFrame, answered: pd.DataFrame) -> np.ndarray:
            probe = self.settings.fit_probe(forward[train.row], train.label.to_numpy(), train.unit.to_numpy())
            before, after = _two_scores(probe, forward[answered.row], backward[answered.row])
            return np.column_stack([(after > 0) != (answered.label == 1), (after > 0) != (before > 0)])

        opposite, flipped = self._each(answers, REVERSED).T
        return {REVERSED: opposite, FLIP_RATE: flipped}

    def _each(self, work: Callable[[pd.DataFrame, pd.DataFrame], np.ndarray], name: str) -> np.ndarray:
        """What `work` gives for each group's rows, in the order of all answered rows."""
        parts, places = [], []
        for group_id, answered in self.answered.groupby("group_id"):
            try:
                parts.append(work(self.train[group_id], answered))
            except ProbeError as error:
                raise ProbeError(f"{self.place}, control {name}, group {group_id!r}: {error}") from error
            places.append(answered.index)
        values = np.concatenate(parts).astype(float)
        return values[np.argsort(np.concatenate(places))]


def _two_scores(probe: Probe, forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of clips and of their reversed copies, which are the same where the vectors are; (N,) each."""
    first, second = probe.decision_function(forward), probe.decision_function(backward)
    same = (forward == backward).all(axis=tuple(range(1, forward.ndim)))
    return first, np.where(same, first, second)


def _counted(answered: pd.DataFrame, right: dict[str, np.ndarray], settings: EvaluationSettings) -> dict:
    """Each measure's value by source and over sources, with intervals from draws that all share with the model."""
    model = (answered.prediction == answered.label).to_numpy(float)
    names = ["model", *right]
    stacked = np.stack([model, *right.values()])  # (A, N)
    scores, draws, counts = {}, {}, {}
    for source, rows in answered.groupby("source"):
        here = stacked[:, rows.index]
        values = [group_accuracies(rows, pd.Series(one, rows.index), settings.rules.balanced).mean() for one in here]
        inputs = to_resample(source, rows, here, settings.rules.balanced, settings.draws, settings.seed)
        counts[source] = int(inputs["clusters"].max()) + 1
        drawn = resample_group_mean(**inputs) if counts[source] > 1 else [None] * len(names)
        scores[source] = dict(zip(names, map(float, values), strict=True))
        draws[source] = dict(zip(names, drawn, strict=True))
        if ORDER_BLIND in right:
            scores[source][GAIN], draws[source][GAIN] = _gain(scores[source], draws[source])
    measured = [name for name in MEASURES if name in right or (name == GAIN and ORDER_BLIND in right)]
    return {
        name: _described(
            name,
            {source: one[name] for source, one in scores.items()},
            {source: one[name] for source, one in draws.items()},
            counts,
            settings.level,
        )
        for name in measured
    }


def _gain(scores: dict[str, float], draws: dict[str, np.ndarray | None]) -> tuple[float, np.ndarray | None]:
    """What the order of frames adds: the model's accuracy minus that of the mean of its frames, and its draws."""
    model, blind = (np.atleast_1d(scores[name]) for name in ("model", ORDER_BLIND))
    value = float(paired_differences(model, blind)[0])
    if draws["model"] is None:
        return value, None
    return value, paired_differences(draws["model"], draws[ORDER_BLIND])


def _described(
    name: str, values: dict[str, float], draws: dict[str, np.ndarray | None], counts: dict[str, int], level: float
) -> dict:
    """A measure for the record; the mean's interval is as wide as the source with the fewest subjects asks for."""
    called = "value" if name in (FLIP_RATE, GAIN) else "accuracy"
    together = mean_draws(list(draws.values()))
    return {
        "sources": {
            source: {called: value, "interval": interval_of(draws[source], level, counts[source])}
            for source, value in values.items()
        },
        "mean": {
            called: float(np.mean(list(values.values()))),
            "interval": interval_of(together, level, min(counts.values())),
        },
    }


def _by_group(answered: pd.DataFrame, right: dict[str, np.ndarray], settings: EvaluationSettings) -> dict[str, dict]:
    """What to add to each group's row of the record: its accuracy by each control."""
    found = pd.DataFrame(
        {
            name: group_accuracies(answered, pd.Series(right[name], answered.index), settings.rules.balanced)
            for name in CONTROLS
            if name in right
        }
    )
    return {group_id: {"controls": accuracies} for group_id, accuracies in found.to_dict("index").items()}
