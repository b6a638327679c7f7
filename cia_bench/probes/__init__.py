"""Probes by name. Each has scikit-learn's contract: see Probe in base.py, and for many classes ClassProbe."""

from cia_bench.errors import ConfigError
from cia_bench.probes.attentive import AttentiveProbe
from cia_bench.probes.base import Probe
from cia_bench.probes.choosing import Choice, choose, count_balanced, fit_chosen
from cia_bench.probes.class_choosing import HeldOutChoice, fit_chosen_classes, hold_out
from cia_bench.probes.class_descent import ClassAttentiveProbe, ClassMlpProbe
from cia_bench.probes.classes import ClassProbe
from cia_bench.probes.folds import make_folds
from cia_bench.probes.logistic import LogisticProbe
from cia_bench.probes.mlp import MlpProbe
from cia_bench.probes.refits import RidgeRefits
from cia_bench.probes.ridge import RidgeProbe
from cia_bench.probes.rows import Rows
from cia_bench.probes.softmax import SoftmaxProbe

__all__ = [
    "CLASS_PROBES",
    "PROBES",
    "AttentiveProbe",
    "Choice",
    "ClassAttentiveProbe",
    "ClassMlpProbe",
    "ClassProbe",
    "HeldOutChoice",
    "LogisticProbe",
    "MlpProbe",
    "Probe",
    "RidgeProbe",
    "RidgeRefits",
    "Rows",
    "SoftmaxProbe",
    "build_class_probe",
    "build_probe",
    "choose",
    "count_balanced",
    "fit_chosen",
    "fit_chosen_classes",
    "hold_out",
    "make_folds",
]

PROBES = {"attentive": AttentiveProbe, "logistic": LogisticProbe, "mlp": MlpProbe, "ridge": RidgeProbe}
CLASS_PROBES = {"softmax": SoftmaxProbe, "mlp": ClassMlpProbe, "attentive": ClassAttentiveProbe}  # the plainest first


def build_probe(name: str, **settings) -> Probe:
    """A new probe by its name, with `settings` for its constructor; raises ConfigError for an unknown name."""
    return _build(PROBES, name, settings)


def build_class_probe(name: str, **settings) -> ClassProbe:
    """As build_probe, for many classes."""
    return _build(CLASS_PROBES, name, settings)


def _build(probes: dict[str, type], name: str, settings: dict) -> Probe | ClassProbe:
    if name not in probes:
        raise ConfigError(f"unknown probe {name!r}; choose from {', '.join(sorted(probes))}")
    return probes[name](**settings)
