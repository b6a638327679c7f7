"""How LiFT is trained: the settings of one training, and the recipes that make them."""

import math
from dataclasses import dataclass, replace

from cia_bench.baselines.lift.model import ORTHOGONALITY_WEIGHT, LiFTConfig
from cia_bench.errors import ConfigError

SCHEDULES = ("plateau", "cosine")
WARM_UP = 0.05  # of all steps, in which the cosine schedule's learning rate rises


@dataclass(frozen=True)
class LiFTSettings:
    """How to train; raises ConfigError for settings that make no sense. The defaults are the published ones.

    Source: arXiv 2509.08502 and the code its authors released.
    """

    width: int | None = None  # None: the number of features, rounded up to what the attention heads can share
    layers: int = LiFTConfig.layers
    heads: int = LiFTConfig.heads
    dropout: float = LiFTConfig.dropout
    orthogonality: float = ORTHOGONALITY_WEIGHT  # what |cos(z_s, z_d)| weighs in the loss; lambda in the paper
    epochs: int = 459  # the released weights are from epoch 458, counted from 0
    batch_size: int = 128
    learning_rate: float = 1e-4  # at its highest
    schedule: str = "plateau"  # half after 5 epochs without a better held-out loss; cosine: up, and down to nothing
    weight_decay: float = 1e-5  # in the gradient
    held_out: float = 0.1  # fraction of the videos
    standardise: bool = False  # True: train on centred features of unit variance; needed unless they are near that
    augment: bool = False  # True: play clips backwards and mix them, for stores too small to learn from without
    precision: str = "float32"  # or bfloat16, by torch.autocast
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; training needs at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must be a number above 0")
        for name in ("weight_decay", "orthogonality"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be a number of at least 0")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}; it must be a fraction between 0 and 1")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"unknown schedule {self.schedule!r}; choose from {', '.join(SCHEDULES)}")
        if self.precision == "float16":
            raise ConfigError("float16 loses small gradients; train in bfloat16 or float32")
        if self.augment and not self.standardise:
            raise ConfigError("augment mixes clips of centred features; it needs standardise too")
        self.config(LiFTConfig.feature_dim)

    def config(self, feature_dim: int) -> LiFTConfig:
        """The model for sequences of `feature_dim` features."""
        width = -(-feature_dim // self.heads) * self.heads if self.width is None else self.width
        return LiFTConfig(feature_dim, width, self.layers, self.heads, self.dropout)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The cosine schedule's learning rate at one of `steps`, counted from 0."""
        warm_up = max(1, round(WARM_UP * steps))
        return self.learning_rate * min(1, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2


RECIPES = ("scaled", "paper")
BATCHES_AN_EPOCH = 20
SMALLEST_BATCH, LARGEST_BATCH = 32, 4096


def settings_for(clips: int, feature_dim: int, recipe: str = "scaled", device: str = "cpu", **given) -> LiFTSettings:
    """The settings of a recipe for so many clips of so many features on a device, but for those given.

    `paper` is the published one. `scaled` sees each clip as often, in about 20 batches an epoch, so that some hundred
    clips get some thousand steps and 240,000 take minutes on a GPU; by the cosine schedule, at a rate that falls with
    the width as Adam's should (Yang and Hu, arXiv 2203.03466), on standardised features. In place of dropout it
    augments, or a few hundred clips would be learnt by heart. On CUDA it takes bfloat16.

    Raises ConfigError for an unknown recipe, and as LiFTSettings does.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}; choose from {', '.join(RECIPES)}")
    if recipe == "paper":
        return LiFTSettings(**given)
    batch_size = 2 ** round(math.log2(max(clips, 1) / BATCHES_AN_EPOCH))
    scaled = {
        "batch_size": min(max(batch_size, SMALLEST_BATCH), LARGEST_BATCH),
        "schedule": "cosine",
        "standardise": True,
        "augment": True,
        "dropout": 0.0,
        "precision": "bfloat16" if device.startswith("cuda") else "float32",
    }
    settings = LiFTSettings(**{**scaled, **given})
    if "learning_rate" in given:
        return settings
    return replace(settings, learning_rate=min(3e-3, 0.3 / settings.config(feature_dim).width))
