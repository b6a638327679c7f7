"""Multinomial logistic regression with an L2 penalty, for as many clips and classes as Kinetics-400 has."""

import math
from typing import TYPE_CHECKING, Self

import numpy as np

from cia_bench.probes.classes import ClassProbe
from cia_bench.probes.standardised import Standardised
from cia_bench.progress import Advance

if TYPE_CHECKING:
    import torch

EVALUATIONS = 500  # of the loss and its gradient, at most
ENOUGH = 1e-5  # of the loss, which can be this far above its least; it is then mostly a fifth of that
PROMISED = 1e-3  # of the loss, by converged_: rounding in float32 may end the search before ENOUGH
CORRECTIONS = 20  # pairs of steps and gradients that L-BFGS remembers
STALE = 10  # times: a curvature that has changed so much is measured anew


class SoftmaxProbe(ClassProbe):
    """Minimises the mean cross-entropy + l2 / 2 |W|², the intercept not penalised, over standardised features.

    That is scikit-learn's LogisticRegression(C = 1 / (N l2)). `converged_` says whether the loss is known to be within
    a thousandth of its least; it mostly is within a millionth.
    """

    regularisation = "l2"
    grid = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)

    def __init__(self, l2: float = 1e-3, device: str | None = None):
        super().__init__(l2, device)

    def length(self, clips: int) -> int:
        return 100

    def _learn(self, clips: Standardised, labels: np.ndarray, start: Self | None, advance: Advance) -> None:
        if start is None:
            self.coef_ = np.zeros((clips.shape[1], self.classes_))
            self.intercept_ = np.log(np.bincount(labels) / len(labels))
            self.curvature_ = 1 / self.classes_
        else:
            self.coef_, self.intercept_, self.curvature_ = start.coef_, start.intercept_, start.curvature_
        loss = _Loss(clips, labels, self.classes_, self.l2, self.curvature_, advance)
        while not loss.is_done():
            self.coef_, self.intercept_ = _descend(loss, self.coef_, self.intercept_)
            if not loss.is_stale():
                break
            loss.stretch(loss.curvature)
        self.curvature_ = loss.curvature
        advance(100 - _percent(loss.excesses), loss.note)  # the search may end before, for rounding
        self.evaluations_, self.converged_ = len(loss.excesses), min(loss.excesses) <= PROMISED

    def _score(self, block: "torch.Tensor") -> "torch.Tensor":
        import torch

        coef, intercept = (torch.as_tensor(one, device=block.device).float() for one in (self.coef_, self.intercept_))
        return torch.addmm(intercept, block, coef)


def _descend(loss: "_Loss", coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (D, K) and (K,) of a lower loss: the least, or where the loss is done or stale."""
    from scipy.optimize import minimize

    def stop(point: np.ndarray) -> None:  # the last one evaluated
        if loss.is_done() or loss.is_stale():
            raise StopIteration

    left = EVALUATIONS - len(loss.excesses)
    limits = {"maxfun": left, "maxiter": left, "maxcor": CORRECTIONS, "ftol": 0, "gtol": 0}
    place = loss.place(coef, intercept)
    found = minimize(loss, place, jac=True, method="L-BFGS-B", callback=stop, options=limits)
    coef, intercept = loss.weights(found.x)
    return coef.cpu().numpy(), intercept.cpu().numpy()


class _Loss:
    """The loss and its gradient as functions of a point ((D + 1) K,), in whose space the loss curves about alike.

    Along a direction in which the features' variance is s the loss curves by about s c + l2, where c is the mean of
    p (1 - p) over the probabilities p of all clips and classes: 1 / K at first, less the surer they are. Steps of
    L-BFGS are few where curvatures are alike, so the weights are W = V (s c + l2)^-1/2 U, with V the eigenvectors of
    the covariance, and a point holds U (D, K) and likewise the intercept, along which the curvature is c.
    """

    def __init__(
        self, clips: Standardised, labels: np.ndarray, classes: int, l2: float, curvature: float, advance: Advance
    ):
        import torch

        self.clips, self.classes, self.l2, self.advance = clips, classes, l2, advance
        self.labels = torch.as_tensor(labels, device=clips.device)
        self.excesses = []  # of each evaluation: how far it may be above the least, as a share of the loss
        self.stretch(curvature)

    def stretch(self, curvature: float) -> None:
        """Let points be of a space in which the loss curves alike, if c is `curvature`."""
        variances, self.directions = self.clips.spectrum
        self.widths = (variances * curvature + self.l2).rsqrt()[:, None]
        self.width = curvature**-0.5

    def is_done(self) -> bool:
        return bool(self.excesses) and (self.excesses[-1] <= ENOUGH or len(self.excesses) >= EVALUATIONS)

    def is_stale(self) -> bool:
        """Whether c is far from what points are stretched by."""
        return not 1 / STALE < self.curvature * self.width**2 < STALE

    def place(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """The point of weights (D, K) and (K,)."""
        import torch

        coef, intercept = (torch.as_tensor(one, device=self.clips.device) for one in (coef, intercept))
        return _join(self.directions.T @ coef / self.widths, intercept / self.width)

    def weights(self, point: np.ndarray) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Weights (D, K) and (K,) of a point, in float64."""
        import torch

        place = torch.as_tensor(point, device=self.clips.device).reshape(-1, self.classes)
        return self.directions @ (self.widths * place[:-1]), self.width * place[-1]

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        coef, intercept = self.weights(point)
        entropy, by_coef, by_intercept = self._cross_entropy(coef, intercept)
        by_coef += self.l2 * coef
        loss = float(entropy + self.l2 / 2 * coef.square().sum())
        # a function that curves by at least m is at most |gradient|² / 2m above its least (Boyd and Vandenberghe, 9.9);
        # m is l2 for the weights, while for the intercept, which has no penalty, c is but an estimate
        above = by_coef.square().sum() / (2 * self.l2) + by_intercept.square().sum() / (2 * self.curvature)
        before = _percent(self.excesses)
        self.excesses.append(float(above) / loss)
        self.note = f"pass {len(self.excesses)}, loss {loss:.5f}, at most {self.excesses[-1]:.0e} of it above the least"
        self.advance(_percent(self.excesses) - before, self.note)
        return loss, _join(self.widths * (self.directions.T @ by_coef), self.width * by_intercept)

    def _cross_entropy(self, coef: "torch.Tensor", intercept: "torch.Tensor") -> tuple:
        """Its mean over the clips, and gradients (D, K) and (K,): products in float32, sums over blocks in float64.

        Sets c, which is the mean of 1 - |p|² over the clips, divided by K.
        """
        import torch

        total, by_coef, by_intercept = torch.zeros_like(coef[0, 0]), torch.zeros_like(coef), torch.zeros_like(intercept)
        unsure = torch.zeros_like(total)
        coef, intercept = coef.float(), intercept.float()
        for places, block in self.clips.blocks():
            entropies, wrong, excess = _softmax(torch.addmm(intercept, block, coef), self.labels[places])
            total += entropies.sum()
            unsure += 2 * wrong.sum(dtype=torch.float64) - torch.linalg.vector_norm(excess).double() ** 2
            by_coef += block.T @ excess
            by_intercept += excess.sum(dim=0, dtype=torch.float64)
        N = len(self.labels)
        self.curvature = max(float(unsure) / N / self.classes, 1e-12)  # rounding may leave nothing
        return total / N, by_coef / N, by_intercept / N


def _softmax(scores: "torch.Tensor", labels: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Cross-entropies (N,) in float64, probabilities of all classes but the right one (N,), and the gradient (N, K).

    The gradient, probabilities less those that should be, takes the place of the scores (N, K). The other classes are
    summed without the right one: 1 less a probability near 1 would be rounding, and that difference is all there is to
    learn from once each clip is far on its side.
    """
    import torch

    own = torch.arange(len(scores), device=scores.device), labels
    scores -= scores.max(dim=1, keepdim=True).values
    behind = scores[own].double()  # the best class
    shares = scores.exp_()
    mine = shares[own]
    shares[own] = 0
    others = shares.sum(dim=1)
    wrong = others / (others + mine)
    shares /= (others + mine)[:, None]
    shares[own] = -wrong
    return torch.log1p(others.double() + (mine.double() - 1)) - behind, wrong, shares


def _join(coef: "torch.Tensor", intercept: "torch.Tensor") -> np.ndarray:
    """A point of (D, K) and (K,)."""
    import torch

    return torch.cat([coef.flatten(), intercept]).cpu().numpy()


def _percent(excesses: list[float]) -> int:
    """How much of the way to ENOUGH is done, where each step takes away about the same share of the excess."""
    if not excesses:
        return 0
    first, least = (max(excess, ENOUGH) for excess in (excesses[0], min(excesses)))
    return round(100 * math.log(first / least) / math.log(first / ENOUGH)) if first > ENOUGH else 100
