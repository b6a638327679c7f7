"""Probes by name. Each has scikit-learn's contract: see Probe in base.py."""

from cia_bench.errors import ConfigError
from cia_bench.probes.attentive import AttentiveProbe
from cia_bench.probes.base import Probe
from cia_bench.probes.choosing import Choice, choose, count_balanced, fit_chosen
from cia_bench.probes.folds import make_folds
from cia_bench.probes.logistic import LogisticProbe
from cia_bench.probes.mlp import MlpProbe
from cia_bench.probes.refits import RidgeRefits
from cia_bench.probes.ridge import RidgeProbe

__all__ = [
    "PROBES",
    "AttentiveProbe",
    "Choice",
    "LogisticProbe",
    "MlpProbe",
    "Probe",
    "RidgeProbe",
    "RidgeRefits",
    "build_probe",
    "choose",
    "count_balanced",
    "fit_chosen",
    "make_folds",
]

PROBES = {"attentive": AttentiveProbe, "logistic": LogisticProbe, "mlp": MlpProbe, "ridge": RidgeProbe}


def build_probe(name: str, **settings) -> Probe:
    """A new probe by its name, with `settings` for its constructor; raises ConfigError for an unknown name."""
    if name not in PROBES:
        raise ConfigError(f"unknown probe {name!r}; choose from {', '.join(sorted(PROBES))}")
    return PROBES[name](**settings)
