"""What all probes of many classes share: they see standardised clips block by block, never all at once."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from cia_bench.errors import ProbeError
from cia_bench.probes.rows import Rows
from cia_bench.probes.scaling import RowScaler
from cia_bench.probes.standardised import Standardised
from cia_bench.probes.training_clips import read_class_labels
from cia_bench.probes.tunable import Tunable
from cia_bench.progress import Advance

if TYPE_CHECKING:
    import torch


def _say_nothing(count: int, note: str = "") -> None:
    pass


def _say(advance: Advance, about: str, count: int, note: str = "") -> None:
    advance(count, f"{about}: {note}")


class ClassProbe(Tunable):
    """A classifier of K classes in torch, on a `device`; None is the CPU.

    Features are standardised by the training clips, and constant ones left out. Matrix products are in float32, in
    TF32 only where somebody asked torch for it. A fitted probe has `evaluations_`, how many times it looked at its
    clips or a batch of them.
    """

    def __init__(self, value: float, device: str | None):
        super().__init__(value)
        self.device = device

    def fit(self, data: Rows, labels: np.ndarray, classes: int) -> Self:
        """Learn from clips (N, ...) with the probe's `axes` and their labels (N,), whole numbers below `classes`.

        Raises ProbeError for features of other axes, not finite or too large, and for a class without a clip.
        """
        (fitted,) = self.fit_values(data, labels, classes, [getattr(self, self.regularisation)])
        vars(self).update(vars(fitted))
        return self

    def fit_values(
        self,
        data: Rows,
        labels: np.ndarray,
        classes: int,
        values: Sequence[float],
        advance: Advance = _say_nothing,
        start: Self | None = None,
    ) -> Iterator[Self]:
        """Probes fitted with each value of the regularisation, each from where the one before ended, or from `start`.

        Each takes `advance` on by `length`. Raises ProbeError as fit does.
        """
        labels = read_class_labels(labels, len(data), classes)
        self._check_axes(data)
        scaler = RowScaler().fit(data)
        clips = Standardised(data, scaler, self.device)
        for value in values:
            probe = self.with_value(value)
            probe.shape_, probe.scaler_, probe.classes_ = data.shape[1:], scaler, classes
            probe._learn(clips, labels, start, partial(_say, advance, f"{self.regularisation} {value:g}"))
            yield probe
            start = probe

    def scores(self, data: Rows) -> np.ndarray:
        """Score of each class for each clip, (M, K) float32: log probabilities, but for a constant of each clip.

        Raises ProbeError for features of another shape than those learnt from, or not finite.
        """
        import torch

        self._check_axes(data)
        if data.shape[1:] != self.shape_:
            raise ProbeError(f"the probe learnt from clips of shape {self.shape_}, not {data.shape[1:]}")
        scores = np.empty((len(data), self.classes_), dtype=np.float32)
        with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
            for places, block in Standardised(data, self.scaler_, self.device).blocks():
                if not block.isfinite().all():
                    raise ProbeError("the features hold a number that is not finite")
                scores[places] = self._score(block).cpu().numpy()
        return scores

    def _check_axes(self, data: Rows) -> None:
        if len(data.shape) != self.axes.count(",") + 1:
            raise ProbeError(f"this probe takes {self.axes}, not an array of shape {data.shape}")

    @abstractmethod
    def length(self, clips: int) -> int:
        """How many steps of progress a fit to so many clips is."""

    @abstractmethod
    def _learn(self, clips: Standardised, labels: np.ndarray, start: Self | None, advance: Advance) -> None:
        """Learn from clips (N, ...) and labels (N,); `start` was fitted on like clips with another value."""

    @abstractmethod
    def _score(self, block: "torch.Tensor") -> "torch.Tensor":
        """Scores of standardised clips, (M, ...) -> (M, K)."""
