"""Linear probes with scikit-learn's contract: settings in the constructor, data in fit, learnt values end in _."""

import numpy as np

from cia_bench.errors import ConfigError, ProbeError


class RidgeProbe:
    """Ridge classifier on two labels, solved in closed form in float64.

    Equal to scikit-learn's RidgeClassifier(alpha): labels become -1 and 1, the intercept is not penalised, features are
    taken as they are. This is the published CiA probe, with alpha 1 (arXiv 2509.08502).
    """

    def __init__(self, alpha: float = 1.0):
        if not alpha > 0:
            raise ConfigError(f"alpha is {alpha}; a ridge probe needs a number above 0")
        self.alpha = alpha

    def fit(self, features: np.ndarray, labels: np.ndarray) -> "RidgeProbe":
        """Fit on features (N, D) and labels (N,).

        Raises ProbeError unless there are two labels, and if the features are so large that their squares overflow.
        """
        features = np.asarray(features, dtype=np.float64)
        self.classes_ = np.unique(labels)
        if len(self.classes_) != 2:
            raise ProbeError(f"a probe needs two labels to learn from, not {len(self.classes_)}")
        targets = np.where(labels == self.classes_[1], 1.0, -1.0)
        feature_mean, target_mean = features.mean(axis=0), targets.mean()
        centred, targets = features - feature_mean, targets - target_mean
        if not np.abs(centred).max(initial=0) < np.sqrt(np.finfo(np.float64).max / centred.size):
            raise ProbeError("the features are so large that their squares overflow; scale them down")
        self.coef_ = _ridge_weights(centred, targets, self.alpha)
        self.intercept_ = target_mean - feature_mean @ self.coef_
        return self

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        """Signed score of each row, (N, D) -> (N,); above 0 is the second class."""
        return np.asarray(features, dtype=np.float64) @ self.coef_ + self.intercept_

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Label of each row, (N, D) -> (N,)."""
        return self.classes_[(self.decision_function(features) > 0).astype(int)]


def _ridge_weights(features: np.ndarray, targets: np.ndarray, alpha: float) -> np.ndarray:
    """The weights (D,) that minimise |features @ weights - targets|² + alpha |weights|², for (N, D) and (N,)."""
    N, D = features.shape
    if np.vdot(features, features) * np.finfo(np.float64).eps > alpha:  # a Gram matrix would lose alpha in rounding
        U, S, Vt = np.linalg.svd(features, full_matrices=False)
        return Vt.T @ (S / (S * S + alpha) * (U.T @ targets))
    if N <= D:  # the smaller of the two Gram matrices gives the same weights
        return features.T @ np.linalg.solve(features @ features.T + alpha * np.eye(N), targets)
    return np.linalg.solve(features.T @ features + alpha * np.eye(D), features.T @ targets)


PROBES = {"ridge": RidgeProbe}


def build_probe(name: str) -> RidgeProbe:
    """A new probe by its name; raises ConfigError for an unknown one."""
    if name not in PROBES:
        raise ConfigError(f"unknown probe {name!r}; choose from {', '.join(sorted(PROBES))}")
    return PROBES[name]()
