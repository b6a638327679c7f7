"""What all probes share: settings in the constructor, data in fit, learnt values end in _."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes.scaling import Scaler
from cia_bench.probes.training_clips import (
    check_class_weight,
    clip_weights,
    constant_score,
    is_constant,
    read_features,
    read_labels,
)


class Probe(ABC):
    """A classifier of two labels, learnt from one chiral group's training clips.

    A subclass names the `axes` of its features, the setting that is its `regularisation`, and the `grid` of values to
    choose from; its constructor takes only settings. `class_weight` "balanced" weighs each clip by N / (2 clips of its
    label), as in scikit-learn. `standardise` scales features by the mean and deviation of the training clips; constant
    ones are left out. If all training clips have the same features the answer is their majority, or the first label if
    balanced.
    """

    axes = "vectors (N, D)"
    regularisation: str
    grid: tuple[float, ...]
    larger_is_stronger = True  # of the regularisation

    def __init__(self, value: float, class_weight: str | None, standardise: bool):
        if not 0 < value < np.inf:
            raise ConfigError(f"{self.regularisation} is {value}; this probe needs a number above 0")
        check_class_weight(class_weight)
        setattr(self, self.regularisation, value)
        self.class_weight = class_weight
        self.standardise = standardise

    def settings(self) -> dict:
        """What the constructor was given."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}

    def describe(self) -> dict:
        """The settings as a result records them: without those that are off, which older results do not know.

        Nor with a device: scores are the same on each but for rounding.
        """
        told = {name: value for name, value in self.settings().items() if name != "device"}
        return {name: value for name, value in told.items() if value is not None and value is not False}

    def with_value(self, value: float) -> "Probe":
        """A new probe with the same settings but for its regularisation."""
        return type(self)(**{**self.settings(), self.regularisation: value})

    def from_weak_to_strong(self, values: Sequence[float]) -> list[float]:
        """Values of the regularisation in the order of their strength."""
        return sorted(set(values), reverse=not self.larger_is_stronger)

    def fit(self, features: np.ndarray, labels: np.ndarray) -> "Probe":
        """Learn from features, an array with the probe's `axes`, and labels (N,).

        Raises ProbeError for features of other axes, not finite or too large, for fewer than two clips, and unless
        there are two labels.
        """
        features = read_features(features, self.axes)
        self.classes_, targets = read_labels(labels, len(features))
        self.shape_ = features.shape[1:]
        self.constant_ = constant_score(targets, self.class_weight) if is_constant(features) else None
        if self.constant_ is None:
            self.scaler_ = Scaler().fit(features) if self.standardise else None
            self._learn(self._scale(features), targets, clip_weights(targets, self.class_weight))
        return self

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        """Signed score of each clip, (N,); above 0 is the second label.

        Raises ProbeError for features of another shape than those learnt from, not finite, or too large.
        """
        features = read_features(features, self.axes)
        if features.shape[1:] != self.shape_:
            raise ProbeError(f"the probe learnt from clips of shape {self.shape_}, not {features.shape[1:]}")
        if self.constant_ is not None:
            return np.full(len(features), self.constant_)
        return self._score(self._scale(features))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Label of each clip, (N,)."""
        return self.classes_[(self.decision_function(features) > 0).astype(int)]

    def score_grid(
        self, features: np.ndarray, labels: np.ndarray, new: np.ndarray, values: Sequence[float]
    ) -> np.ndarray:
        """Scores of `new` clips (M, ...) by the probe fitted with each value of its regularisation, (values, M).

        Raises ProbeError as fit and decision_function do.
        """
        features, new = read_features(features, self.axes), read_features(new, self.axes)
        targets = read_labels(labels, len(features))[1]
        if is_constant(features):
            return np.full((len(values), len(new)), constant_score(targets, self.class_weight))
        if self.standardise:
            scaler = Scaler().fit(features)
            features, new = scaler.transform(features), scaler.transform(new)
        return self._score_values(features, targets, clip_weights(targets, self.class_weight), new, values)

    def _scale(self, features: np.ndarray) -> np.ndarray:
        return features if self.scaler_ is None else self.scaler_.transform(features)

    @property
    def takes_frames(self) -> bool:
        """Whether it learns from frame sequences."""
        return ", T, " in self.axes

    @abstractmethod
    def _learn(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from float64 features (N, ...), targets (N,) of -1 or 1, and weights (N,), or None if all are 1."""

    @abstractmethod
    def _score(self, features: np.ndarray) -> np.ndarray:
        """Scores of float64 features, (N, ...) -> (N,)."""

    def _score_values(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        new: np.ndarray,
        values: Sequence[float],
    ) -> np.ndarray:
        """Scores of `new` (M, ...) for each value, (values, M), learnt as by `_learn`; for what all values share."""
        scores = []
        for value in values:
            probe = self.with_value(value)
            probe._learn(features, targets, weights)
            scores.append(probe._score(new))
        return np.stack(scores)
