"""Probes of many classes that are small torch modules: trained with AdamW on batches drawn by a seed."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import numpy as np

from cia_bench.errors import ConfigError, ProbeError
from cia_bench.probes.attentive import build_attention
from cia_bench.probes.classes import ClassProbe
from cia_bench.probes.mlp import build_layers
from cia_bench.probes.standardised import Standardised
from cia_bench.progress import Advance

if TYPE_CHECKING:
    import torch

BATCH = 1024
EPOCHS = 10
FEWEST_STEPS = 300  # where the clips are few


class ClassDescentProbe(ClassProbe):
    """A subclass builds the module; its weight decay (arXiv 1711.05101) is the regularisation.

    The steps are always all taken, at a rate that falls to 0 as a cosine. The same seed, on as many threads of one CPU,
    gives the same bits.
    """

    regularisation = "weight_decay"
    grid = (0.1, 0.3, 1.0, 3.0, 10.0)
    learning_rate: float

    def __init__(self, weight_decay: float, seed: int, device: str | None):
        super().__init__(weight_decay, device)
        self.seed = seed

    @abstractmethod
    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        """The untrained module, (N, *shape) -> (N, classes_); its numbers are drawn by `generator`."""

    def length(self, clips: int) -> int:
        return max(FEWEST_STEPS, EPOCHS * clips // BATCH)

    def _learn(self, clips: Standardised, labels: np.ndarray, start: Self | None, advance: Advance) -> None:
        import torch

        self.evaluations_ = self.length(len(labels))
        self.intercept_ = torch.as_tensor(np.log(np.bincount(labels) / len(labels)), dtype=torch.float32)
        self.intercept_ = self.intercept_.to(clips.device)
        self.module_ = self._build(torch.Generator().manual_seed(self.seed), *clips.shape[1:]).to(clips.device)
        optimiser = torch.optim.AdamW(self.module_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.evaluations_)
        with torch.enable_grad():
            for batch in self._batches(len(labels)):
                answers = torch.as_tensor(labels[batch], device=clips.device)
                loss = torch.nn.functional.cross_entropy(self._score(clips.read(batch)), answers)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                falling.step()
                advance(1, f"loss {loss:.4f}")
        if not loss.isfinite():
            raise ProbeError("the loss is no longer finite; take a smaller weight decay")

    def _batches(self, clips: int) -> Iterator[np.ndarray]:
        """Places of clips for each step: all once, in an order that is drawn, then all again."""
        generator = np.random.default_rng(self.seed)
        order = np.empty(0, dtype=np.int64)
        for _ in range(self.evaluations_):
            if not len(order):
                order = generator.permutation(clips)
            yield order[:BATCH]
            order = order[BATCH:]

    def _score(self, block: "torch.Tensor") -> "torch.Tensor":
        return self.module_(block) + self.intercept_


class ClassMlpProbe(ClassDescentProbe):
    """MlpProbe for many classes: hidden units are as many as do not stand in their way."""

    learning_rate = 1e-3

    def __init__(self, weight_decay: float = 1.0, hidden: int = 512, seed: int = 0, device: str | None = None):
        super().__init__(weight_decay, seed, device)
        if hidden < 1:
            raise ConfigError(f"hidden is {hidden}; a hidden layer needs at least one unit")
        self.hidden = hidden

    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        return build_layers(generator, *shape, self.hidden, self.classes_)


class ClassAttentiveProbe(ClassDescentProbe):
    """AttentiveProbe for many classes, which share its attention."""

    axes = "frame sequences (N, T, D)"
    learning_rate = 1e-3

    def __init__(self, weight_decay: float = 1.0, seed: int = 0, device: str | None = None):
        super().__init__(weight_decay, seed, device)

    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        return build_attention(generator, *shape, self.classes_)
