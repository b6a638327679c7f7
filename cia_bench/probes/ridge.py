"""Ridge classifier on two labels, solved in closed form in float64."""

from collections.abc import Sequence

import numpy as np

from cia_bench.probes.arrays import add_to_diagonal, fetch, send, solve_positive
from cia_bench.probes.base import Probe
from cia_bench.probes.spectrum import decompose, decompose_rows, loses


class RidgeProbe(Probe):
    """Equal to scikit-learn's RidgeClassifier(alpha, class_weight): the intercept is not penalised.

    By default this is the published CiA probe: alpha 1, features as they are (arXiv 2509.08502). The grid is meant for
    standardised features, whose mean square is 1 whatever the model. The Gram matrix of N such clips has eigenvalues of
    mean D (or N, if there are fewer features): far above 0.1, which shrinks nothing, and below 1e7, where only the
    difference of the two labels' means is left.

    With a `device` torch solves there, in float64 too; None is numpy.
    """

    regularisation = "alpha"
    grid = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7)

    def __init__(
        self,
        alpha: float = 1.0,
        class_weight: str | None = None,
        standardise: bool = False,
        device: str | None = None,
    ):
        super().__init__(alpha, class_weight, standardise)
        self.device = device

    def _learn(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        feature_mean, rows, target_mean, answers = _centre(features, targets, weights)
        self.coef_ = fetch(_solve(send(rows, self.device), send(answers, self.device), self.alpha))
        self.intercept_ = target_mean - feature_mean @ self.coef_

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
        feature_mean, rows, target_mean, answers = _centre(features, targets, weights)
        rows, new, answers = (send(one, self.device) for one in (rows, new - feature_mean, answers))
        left, eigenvalues, right = decompose(rows, new, min(values))  # once for all values
        solved = (right @ answers)[:, None] / (eigenvalues[:, None] + send(np.asarray(values), self.device))
        return fetch((left @ solved).T) + target_mean  # of (r, values)


def _centre(features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> tuple:
    """Mean of the features (D,), rows (N, D), mean of the targets, answers (N,): rows and answers take no intercept.

    Weighted least squares is plain least squares on rows that are multiplied by the root of their weight.
    """
    if weights is None:
        feature_mean, target_mean = features.mean(axis=0), targets.mean()
        return feature_mean, features - feature_mean, target_mean, targets - target_mean
    feature_mean = weights @ features / weights.sum()
    root = np.sqrt(weights)
    return feature_mean, root[:, None] * (features - feature_mean), 0.0, root * targets  # balanced targets have mean 0


def _solve(rows: np.ndarray, answers: np.ndarray, alpha: float) -> np.ndarray:
    """The weights (D,) that minimise |rows @ weights - answers|² + alpha |weights|², for (N, D) and (N,)."""
    N, D = rows.shape
    if loses(rows, alpha):
        U, S, Vt = decompose_rows(rows)
        return Vt.T @ (S / (S * S + alpha) * (U.T @ answers))
    if N <= D:  # the smaller of the two Gram matrices gives the same weights
        return rows.T @ solve_positive(add_to_diagonal(rows @ rows.T, alpha), answers)
    return solve_positive(add_to_diagonal(rows.T @ rows, alpha), rows.T @ answers)
