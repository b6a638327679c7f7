"""Probes that are small torch modules: trained with AdamW on full batches, to the same bits each time."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from cia_bench.errors import ProbeError
from cia_bench.precision import one_thread
from cia_bench.probes.base import Probe

if TYPE_CHECKING:
    import torch


class DescentProbe(Probe):
    """A subclass builds the module; its weight decay (arXiv 1711.05101) is the regularisation, larger is stronger.

    The steps are always all taken: no clip is spent on when to stop. The same seed gives the same bits, whatever the
    number of threads.
    """

    regularisation = "weight_decay"
    grid = (1.0, 3.0, 10.0, 30.0)
    steps: int
    learning_rate: float

    def __init__(self, weight_decay: float, class_weight: str | None, standardise: bool, seed: int):
        super().__init__(weight_decay, class_weight, standardise)
        self.seed = seed

    @abstractmethod
    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        """The untrained module, (N, *shape) -> (N,); its numbers are drawn by `generator`, not by torch's own."""

    def _learn(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> None:
        import torch

        weights = np.ones(len(targets)) if weights is None else weights
        second = targets > 0
        self.intercept_ = float(np.log(weights[second].sum() / weights[~second].sum()))
        self.module_ = self._build(torch.Generator().manual_seed(self.seed), *features.shape[1:])
        self._descend(*(torch.as_tensor(one, dtype=torch.float32) for one in (features, targets, weights)))

    def _descend(self, features: "torch.Tensor", targets: "torch.Tensor", weights: "torch.Tensor") -> None:
        """Lower the weighted logistic loss on (N, ...), (N,) of -1 or 1, and (N,)."""
        import torch

        optimiser = torch.optim.AdamW(self.module_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        share = weights / weights.sum()
        with one_thread(), torch.enable_grad():
            for _ in range(self.steps):
                margins = targets * (self.module_(features) + self.intercept_)
                loss = share @ torch.nn.functional.softplus(-margins)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        if not loss.isfinite():
            raise ProbeError("the loss is no longer finite; standardise the features")

    def _score(self, features: np.ndarray) -> np.ndarray:
        import torch

        with one_thread(), torch.no_grad():
            scores = self.module_(torch.as_tensor(features, dtype=torch.float32))
        return scores.double().numpy() + self.intercept_
