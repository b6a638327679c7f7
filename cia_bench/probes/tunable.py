"""What probes of two labels and of many have in common: settings in the constructor, one of them to be chosen."""

from abc import ABC
from collections.abc import Sequence
from typing import Self

import numpy as np

from cia_bench.errors import ConfigError


class Tunable(ABC):
    """A subclass names the `axes` of its features, the setting that is its `regularisation`, and a `grid` for it.

    Its constructor takes only settings, and keeps each under its name; what is learnt ends in _.
    """

    axes = "vectors (N, D)"
    regularisation: str
    grid: tuple[float, ...]
    larger_is_stronger = True  # of the regularisation

    def __init__(self, value: float):
        if not 0 < value < np.inf:
            raise ConfigError(f"{self.regularisation} is {value}; this probe needs a number above 0")
        setattr(self, self.regularisation, value)

    def settings(self) -> dict:
        """What the constructor was given."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}

    def describe(self) -> dict:
        """The settings as a result records them: without those that are off, which older results do not know.

        Nor with a device: scores are the same on each but for rounding.
        """
        told = {name: value for name, value in self.settings().items() if name != "device"}
        return {name: value for name, value in told.items() if value is not None and value is not False}

    def with_value(self, value: float) -> Self:
        """A new probe with the same settings but for its regularisation."""
        return type(self)(**{**self.settings(), self.regularisation: value})

    def from_weak_to_strong(self, values: Sequence[float]) -> list[float]:
        """Values of the regularisation in the order of their strength."""
        return sorted(set(values), reverse=not self.larger_is_stronger)

    @property
    def takes_frames(self) -> bool:
        """Whether it learns from frame sequences."""
        return ", T, " in self.axes
