"""Choose a probe's regularisation inside the training clips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes.base import Probe
from cia_bench.probes.folds import make_folds
from cia_bench.probes.training_clips import read_features, read_labels


@dataclass(frozen=True)
class Choice:
    """A chosen value, with what it was chosen by."""

    value: float
    folds: int  # 0: the clips allow none, and the value is the probe's own
    accuracies: dict[float, float]  # balanced accuracy of each value over the held-out clips of all folds, a fraction


def choose(
    probe: Probe,
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray | None,
    values: Sequence[float] | None = None,
) -> Choice:
    """The value, of `values` or the probe's grid, whose held-out clips have the best balanced accuracy.

    `features` (N, ...), `labels` (N,) and `folds` (N,) are of training clips. Each fold is scored by the probe fitted
    on the others, its scaling included; accuracy is counted over the clips of all folds together. Of equals the
    strongest regularisation wins. Without folds the value is that of the probe's settings.
    """
    values = probe.from_weak_to_strong(probe.grid if values is None else values)
    if not values:
        raise ConfigError("there is no value of the regularisation to choose from")
    if folds is None:
        return Choice(getattr(probe, probe.regularisation), 0, {})
    features, labels = np.asarray(features), np.asarray(labels)
    second = labels == np.unique(labels)[-1]
    answers = np.empty((len(values), len(labels)), dtype=bool)
    for fold in np.unique(folds):
        held = folds == fold
        answers[:, held] = probe.score_grid(features[~held], labels[~held], features[held], values) > 0
    quality = count_balanced(answers == second, second)
    best = pick_strongest(quality)
    scale = 2 * second.sum() * (~second).sum()
    return Choice(values[best], len(np.unique(folds)), dict(zip(values, (quality / scale).tolist(), strict=True)))


def count_balanced(right: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Balanced accuracy in whole numbers, times 2 x clips of one label x clips of the other: (..., N), (N,) -> (...).

    Whole, so that two values with the same answers are equal and not apart by rounding. `right` says which answers
    are right, `second` which clips have the second label.
    """
    first = ~second
    return (right & second).sum(axis=-1) * first.sum(axis=-1) + (right & first).sum(axis=-1) * second.sum(axis=-1)


def pick_strongest(quality: np.ndarray) -> np.ndarray:
    """The last of the best along the first axis, whose values are ordered from weak to strong."""
    return len(quality) - 1 - np.argmax(quality[::-1], axis=0)


def fit_chosen(
    probe: Probe,
    features: np.ndarray,
    labels: np.ndarray,
    clusters: np.ndarray,
    values: Sequence[float] | None = None,
    seed: int = 0,
) -> Probe:
    """A probe fitted on all training clips with the value that `choose` finds; `chosen_` holds it, `choice_` the rest.

    `clusters` (N,) and `seed` make the folds: see make_folds.
    """
    read_labels(labels, len(read_features(features, probe.axes)))
    if len(clusters) != len(labels):
        raise ProbeError(f"{len(labels)} clips need as many clusters, not {len(clusters)}")
    choice = choose(probe, features, labels, make_folds(clusters, labels, seed), values)
    chosen = probe.with_value(choice.value).fit(features, labels)
    chosen.chosen_, chosen.choice_ = choice.value, choice
    return chosen
