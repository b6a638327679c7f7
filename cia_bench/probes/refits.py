"""Fit the ridge probe to many labellings of the same clips at once, for a permutation test that refits."""

from collections.abc import Callable, Sequence

import numpy as np

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes.arrays import fetch, module_of, send
from cia_bench.probes.choosing import count_balanced, pick_strongest
from cia_bench.probes.ridge import RidgeProbe
from cia_bench.probes.scaling import Scaler
from cia_bench.probes.spectrum import decompose, loses
from cia_bench.probes.training_clips import BALANCED, is_constant, read_features

AT_ONCE = 256  # labellings, so that memory does not grow with their number
PRECISION = 1e-13  # to which the balanced fit is iterated


class RidgeRefits:
    """Scores of `new` clips (M, D) by `probe` fitted on training clips (N, D) with any labels, which come later.

    What depends on the features alone is computed once. With `folds` (N,), see make_folds, each labelling chooses its
    own alpha among `values` (by default the probe's grid) as `choose` does; without, alpha is the probe's own. A part
    of the clips in which a labelling leaves one label alone answers that label. For an exact test the true labels go
    through here with the others, and the folds are made without them: make_folds(clusters, np.zeros(N), seed).
    """

    def __init__(
        self,
        probe: RidgeProbe,
        features: np.ndarray,
        new: np.ndarray,
        folds: np.ndarray | None = None,
        values: Sequence[float] | None = None,
    ):
        features, new = read_features(features, probe.axes), read_features(new, probe.axes)
        if new.shape[1] != features.shape[1]:
            raise ProbeError(f"the training clips have {features.shape[1]} features, the new ones {new.shape[1]}")
        if folds is not None and (len(folds) != len(features) or len(np.unique(folds)) < 2):
            raise ProbeError(f"{len(features)} clips need as many numbers of folds, and two folds or more")
        values = [probe.alpha] if folds is None else probe.from_weak_to_strong(probe.grid if values is None else values)
        if not values or values[0] <= 0:
            raise ConfigError("there must be values of alpha to choose from, each above 0")
        fit = _BalancedFit if probe.class_weight == BALANCED else _PlainFit
        self.values = np.asarray(values)
        self.clips = len(features)
        self._held = [] if folds is None else [folds == fold for fold in np.unique(folds)]
        self._folds = [fit(features[~held], features[held], probe, values[0]) for held in self._held]
        self._whole = fit(features, new, probe, values[0])

    def decision_function(self, labels: np.ndarray) -> np.ndarray:
        """Signed score of each new clip for each labelling, (M, P); above 0 is label 1.

        `labels` (P, N) are 0 or 1. Raises ProbeError unless they are, for as many clips as the features.
        """
        labels = np.asarray(labels)
        if labels.ndim != 2 or labels.shape[1] != self.clips or not np.isin(labels, (0, 1)).all():
            raise ProbeError(f"labellings are (P, {self.clips}) of 0 and 1, not an array of shape {labels.shape}")
        parts = [labels[first : first + AT_ONCE] for first in range(0, len(labels), AT_ONCE)]
        return np.concatenate([self._score(part) for part in parts], axis=1)

    def _score(self, labels: np.ndarray) -> np.ndarray:
        targets = np.where(labels.T == 1, 1.0, -1.0)  # (N, P)
        scores = np.empty((self._whole.clips, len(labels)))
        alphas = self._choose(targets)
        for alpha in np.unique(alphas):
            chose = alphas == alpha
            scores[:, chose] = self._whole.score(targets[:, chose], [alpha])[0]
        return scores

    def _choose(self, targets: np.ndarray) -> np.ndarray:
        """The alpha of each labelling, (P,), for targets (N, P)."""
        N, P = targets.shape
        if not self._folds:
            return np.full(P, self.values[0])
        answers = np.empty((len(self.values), N, P), dtype=bool)
        for held, fold in zip(self._held, self._folds, strict=True):
            answers[:, held] = fold.score(targets[~held], self.values) > 0
        second = targets > 0
        quality = count_balanced((answers == second).transpose(0, 2, 1), second.T)  # (values, P)
        return self.values[pick_strongest(quality)]


class _Fit:
    """What fits to one part of the clips share, whatever their labels: `new` clips are scored for any alpha >= `alpha`.

    `score` takes targets (n, P) of -1 and 1, and gives scores (alphas, M, P).
    """

    def __init__(self, features: np.ndarray, new: np.ndarray, probe: RidgeProbe, alpha: float):
        self.constant, self.clips, self.device = is_constant(features), len(new), probe.device
        if probe.standardise:
            scaler = Scaler().fit(features)
            features, new = scaler.transform(features), scaler.transform(new)
        mean = features.mean(axis=0)
        self._prepare(send(features - mean, self.device), send(new - mean, self.device), alpha)

    def score(self, targets: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
        mean = targets.mean(axis=0)
        alone = np.abs(mean) == 1
        scores = np.empty((len(alphas), self.clips, len(mean)))
        scores[:, :, alone] = mean[alone]
        scores[:, :, ~alone] = self._score(targets[:, ~alone], alphas)  # both labels in each column
        return scores


class _PlainFit(_Fit):
    def _prepare(self, rows, new, alpha: float) -> None:
        self.left, self.eigenvalues, self.right = decompose(rows, new, alpha)

    def _score(self, targets: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
        mean = targets.mean(axis=0)
        if self.constant:
            return np.broadcast_to(mean, (len(alphas), self.clips, len(mean)))
        answers, alphas = send(targets - mean, self.device), send(np.reshape(alphas, (-1, 1, 1)), self.device)
        return fetch(self.left @ ((self.right @ answers) / (self.eigenvalues[:, None] + alphas))) + mean


class _BalancedFit(_Fit):
    """Ridge with balanced weights, in the form that has one unknown a clip (Suykens et al. 2002, weighted LS-SVM).

    With K the Gram matrix of the centred clips, y the targets and d their mean, the inverse of the weights is 1 + d y.
    The unknowns a have sum 0 and solve (K + alpha + alpha d diag(y)) a + intercept = y: all but the last term is the
    plain ridge, whose inverse is known for any labels. So preconditioned, the matrix has eigenvalues between 1 - reach
    and 1 + reach, with reach = |d| alpha / (alpha + smallest eigenvalue), and Chebyshev's iteration (Saad 2003,
    algorithm 12.1) converges in a number of steps that is known beforehand, for all labellings together.
    """

    def _prepare(self, rows, new, alpha: float) -> None:
        self.lost = loses(rows, alpha)
        if self.lost:
            self.rows, self.new = fetch(rows), fetch(new)
            return
        values, self.vectors = module_of(rows).linalg.eigh(rows @ rows.T)
        self.eigenvalues = values.clip(0)
        self.gram = new @ rows.T

    def _score(self, targets: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
        if self.constant:
            return np.zeros((len(alphas), self.clips, targets.shape[1]))
        if self.lost:  # one by one, from the features themselves
            probe = RidgeProbe(class_weight=BALANCED, device=self.device)
            return np.stack([probe.score_grid(self.rows, one, self.new, alphas) for one in targets.T], axis=-1)
        sent = send(targets, self.device)
        skew = float(np.abs(targets.mean(axis=0)).max(initial=0))
        return np.stack([fetch(self._iterate(sent, skew, float(alpha))) for alpha in alphas])

    def _iterate(self, targets, skew: float, alpha: float):
        """Scores (M, P) for targets (n, P), whose means are at most `skew` from 0."""
        mean = targets.mean(axis=0)
        low, high = float(self.eigenvalues[1]), float(self.eigenvalues[-1])  # the first is 0: that of equal unknowns
        low = max(0.0, low - len(targets) * np.finfo(np.float64).eps * high)  # as far down as rounding may have been
        reach = skew * alpha / (alpha + low)
        inverse = self._inverse(alpha)
        pull = alpha * mean * targets
        unknowns = _solve(lambda unknowns: inverse @ (pull * unknowns), inverse @ targets, reach)
        intercept = mean * (1 - alpha * (targets * unknowns).mean(axis=0))
        return self.gram @ unknowns + intercept

    def _inverse(self, alpha: float):
        """The matrix (n, n) that turns targets into the a of sum 0 with (K + alpha) a + intercept = targets."""
        inverse = (self.vectors / (self.eigenvalues + alpha)) @ self.vectors.T
        inverse -= inverse.mean(axis=0)
        return inverse - inverse.mean(axis=1)[:, None]


def _solve(change: Callable, right_side, reach: float):
    """The x with x + change(x) = right_side, for a linear change with eigenvalues between -reach and reach, below 1."""
    if reach == 0:
        return right_side
    rate = reach / (1 + np.sqrt(1 - reach**2))  # by which each step makes the error smaller
    solution, step, ratio = right_side, right_side, reach
    residual = -change(step)
    for _ in range(int(np.ceil(np.log(PRECISION) / np.log(rate)))):
        following = 1 / (2 / reach - ratio)
        step = following * ratio * step + 2 * following / reach * residual
        solution = solution + step
        residual = residual - step - change(step)
        ratio = following
    return solution
