"""LiFT: a summary of a feature sequence that keeps the direction of time (arXiv 2509.08502)."""

from cia_bench.baselines.lift.checkpoint import load_lift
from cia_bench.baselines.lift.model import LiFT, LiFTConfig

__all__ = ["LiFT", "LiFTConfig", "load_lift"]
