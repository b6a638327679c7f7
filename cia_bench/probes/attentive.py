"""A probe that attends to the frames of a sequence with one learnt query."""

from typing import TYPE_CHECKING

from cia_bench.probes.descent import DescentProbe

if TYPE_CHECKING:
    import torch

PLACE_RATE = 100  # Adam moves all numbers alike; without this a weight overfits before any frame is preferred


def build_attention(generator: "torch.Generator", T: int, D: int, *outputs: int) -> "torch.nn.Module":
    """(N, T, D) -> their mean, weighted by attention, (N, D) -> a linear score, (N,), or with K `outputs` (N, K).

    One head with one query: matrices for keys and values (as in V-JEPA's probe, arXiv 2404.08471) would only multiply
    the query and the linear layer. A number for each frame's place is added to its attention, as frame encoders do not
    tell first from last.
    """
    import torch

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.query = torch.nn.Parameter(torch.randn(D, generator=generator) / D)
            self.place = torch.nn.Parameter(torch.zeros(T))
            self.weight = torch.nn.Parameter(torch.zeros(D, *outputs))
            self.bias = torch.nn.Parameter(torch.zeros(outputs))

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            attention = (frames @ self.query + PLACE_RATE * self.place).softmax(dim=1)  # (N, T)
            pooled = torch.einsum("nt,ntd->nd", attention, frames)
            return pooled @ self.weight + self.bias

    return Attention()


class AttentiveProbe(DescentProbe):
    """Frames (N, T, D) -> their mean, weighted by attention -> a linear score."""

    axes = "frame sequences (N, T, D)"
    steps = 200
    learning_rate = 1e-3

    def __init__(
        self, weight_decay: float = 1.0, class_weight: str | None = None, standardise: bool = True, seed: int = 0
    ):
        super().__init__(weight_decay, class_weight, standardise, seed)

    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        return build_attention(generator, *shape)
