"""Logistic regression on two labels: scikit-learn's, with an L2 penalty, solved by L-BFGS."""

import warnings
from collections.abc import Sequence

import numpy as np

from cia_bench.probes.base import Probe

STEPS = 1000  # at most; a weak penalty on labels that a plane divides has no end in reach
TOLERANCE = 1e-6  # of the gradient; scikit-learn's 1e-4 leaves scores with two right digits


class LogisticProbe(Probe):
    """Equal to scikit-learn's LogisticRegression(C, class_weight) at the same tolerance; a smaller C is stronger."""

    regularisation = "C"
    grid = (1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
    larger_is_stronger = False

    def __init__(self, C: float = 1.0, class_weight: str | None = None, standardise: bool = True):
        super().__init__(C, class_weight, standardise)

    def _learn(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        basis, coordinates = _span(features)
        coef, self.intercept_ = _descend(coordinates, targets, weights, self.C)
        self.coef_ = coef if basis is None else basis @ coef

    def _score(self, features: np.ndarray) -> np.ndarray:
        return features @ self.coef_ + self.intercept_

    def _score_values(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        new: np.ndarray,
        values: Sequence[float],
    ) -> np.ndarray:
        basis, coordinates = _span(features)  # once for all values
        new = new if basis is None else new @ basis
        fitted = [_descend(coordinates, targets, weights, value) for value in values]
        return np.stack([new @ coef + intercept for coef, intercept in fitted])


def _span(features: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Basis (D, N) and coordinates (N, N) of fewer clips than features, else None and the features (N, D).

    With an L2 penalty the weights lie in the span of the clips, where steps of L-BFGS cost N rather than D.
    """
    N, D = features.shape
    if N >= D:
        return None, features
    basis, coordinates = np.linalg.qr(features.T)
    return basis, coordinates.T


def _descend(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, C: float
) -> tuple[np.ndarray, float]:
    """Weights (D,) and intercept for (N, D), (N,) and (N,)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see STEPS
        model = LogisticRegression(C=C, max_iter=STEPS, tol=TOLERANCE).fit(features, targets, weights)
    return model.coef_[0], float(model.intercept_[0])
