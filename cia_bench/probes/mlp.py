"""A probe with one hidden layer."""

from typing import TYPE_CHECKING

from cia_bench.errors import ConfigError
from cia_bench.probes.descent import DescentProbe

if TYPE_CHECKING:
    import torch


def build_layers(generator: "torch.Generator", D: int, hidden: int, outputs: int) -> "torch.nn.Sequential":
    """(N, D) -> hidden units, of which those above 0 count -> (N, outputs)."""
    import torch

    sizes = (D, hidden), (hidden, outputs)
    layers = [torch.nn.utils.skip_init(torch.nn.Linear, *size) for size in sizes]  # which would draw torch's numbers
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        torch.nn.init.zeros_(layer.bias)
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])


class MlpProbe(DescentProbe):
    """(N, D) -> hidden units, of which those above 0 count -> score."""

    steps = 100
    learning_rate = 3e-3

    def __init__(
        self,
        weight_decay: float = 1.0,
        class_weight: str | None = None,
        standardise: bool = True,
        hidden: int = 32,
        seed: int = 0,
    ):
        super().__init__(weight_decay, class_weight, standardise, seed)
        if hidden < 1:
            raise ConfigError(f"hidden is {hidden}; a hidden layer needs at least one unit")
        self.hidden = hidden

    def _build(self, generator: "torch.Generator", *shape: int) -> "torch.nn.Module":
        import torch

        return torch.nn.Sequential(*build_layers(generator, *shape, self.hidden, 1), torch.nn.Flatten(0))
