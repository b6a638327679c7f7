"""What all probes of two labels share: data in fit, learnt values end in _."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from cia_bench.errors import ProbeError
from cia_bench.probes.scaling import Scaler
from cia_bench.probes.training_clips import (
    check_class_weight,
    clip_weights,
    constant_score,
    is_constant,
    read_features,
    read_labels,
)
from cia_bench.probes.tunable import Tunable


class Probe(Tunable):
    """A classifier of two labels, learnt from one chiral group's training clips.

    `class_weight` "balanced" weighs each clip by N / (2 clips of its label), as in scikit-learn. `standardise` scales
    features by the mean and deviation of the training clips; constant ones are left out. If all training clips have the
    same features the answer is their majority, or the first label if balanced.
    """

    def __init__(self, value: float, class_weight: str | None, standardise: bool):
        super().__init__(value)
        check_class_weight(class_weight)
        self.class_weight = class_weight
        self.standardise = standardise

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
