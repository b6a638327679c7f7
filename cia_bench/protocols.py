"""How a score is made, and how sure it is: the protocol, the probe, and what is drawn."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cia_bench.errors import ConfigError
from cia_bench.probes import CLASS_PROBES, PROBES, ClassProbe, Probe, build_class_probe, build_probe, fit_chosen


@dataclass(frozen=True)
class Protocol:
    """What is fitted on what, and what is counted."""

    split: str  # a column of tables.CLIPS
    balanced: bool  # labels count equally, in fitting and in scoring, however many clips they have
    standardise: bool  # features, on the training clips
    choose: bool  # the probe's regularisation, inside the training clips
    classes: bool = False  # of a standard benchmark: many classes, and not the two labels of chiral groups

    @property
    def metric(self) -> str:
        """What a score is, in words."""
        return "top-1 accuracy" if self.classes else "balanced accuracy" if self.balanced else "accuracy"


PROTOCOLS = {
    "paper": Protocol("split", balanced=False, standardise=False, choose=False),  # arXiv 2509.08502
    "strict": Protocol("strict_split", balanced=True, standardise=True, choose=True),
    "standard": Protocol("split", balanced=False, standardise=True, choose=True, classes=True),  # see tasks/
}


def _check_choice(what: str, name: str, choices: Iterable[str]) -> None:
    if name not in choices:
        raise ConfigError(f"unknown {what} {name!r}; choose from {', '.join(sorted(choices))}")


DRAWN = ("level", "draws", "permutations", "seed")  # of EvaluationSettings: what a record has under statistics


@dataclass(frozen=True)
class EvaluationSettings:
    """How a score is made and how sure it is."""

    protocol: str = "paper"
    probe: str = "ridge"
    level: float = 0.95  # of every interval
    draws: int = 10_000  # bootstrap draws behind a mean's interval
    permutations: int = 999  # of labels, behind a group's p where its clips are not independent; 0: none
    seed: int = 0
    min_coverage: float = 0.98  # share of a source's training rows, and of its validation rows, that are embedded

    def __post_init__(self):
        _check_choice("protocol", self.protocol, PROTOCOLS)
        _check_choice("probe", self.probe, CLASS_PROBES if self.rules.classes else PROBES)
        if not 0 < self.level < 1:
            raise ConfigError(f"level is {self.level}; an interval needs a share between 0 and 1")
        if self.draws < 1:
            raise ConfigError(f"draws is {self.draws}; a bootstrap needs at least one")
        for name in ("permutations", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it can't be negative")
        if not 0 <= self.min_coverage <= 1:
            raise ConfigError(f"min_coverage is {self.min_coverage}; it is a share, from 0 to 1")

    @property
    def rules(self) -> Protocol:
        """What the protocol's name stands for."""
        return PROTOCOLS[self.protocol]

    def new_probe(self, device: str | None = None) -> Probe | ClassProbe:
        """The probe as the protocol wants it, not fitted; ridge is solved on a torch device, by default in numpy.

        Those of many classes run on it, by default on the CPU.
        """
        if self.rules.classes:
            return build_class_probe(self.probe, device=device)
        wanted = {"standardise": True, "class_weight": "balanced"} if self.rules.balanced else {}
        return build_probe(self.probe, **wanted, **({"device": device} if self.probe == "ridge" else {}))

    def fit_probe(
        self, features: np.ndarray, labels: np.ndarray, units: np.ndarray, probe: Probe | None = None
    ) -> Probe:
        """The probe fitted as the protocol wants it: features (N, ...), labels (N,), units (N,) that folds keep whole.

        `probe` is what new_probe gave, by default without a device. Raises ProbeError for what no probe can learn from.
        """
        probe = probe or self.new_probe()
        if self.rules.choose:
            return fit_chosen(probe, features, labels, units, seed=self.seed)
        return probe.fit(features, labels)

    def describe_protocol(self) -> dict:
        """What the protocol and its probe are, for a result's record."""
        probe = self.new_probe()
        described = probe.describe()
        if self.rules.choose:
            described[probe.regularisation] = list(probe.grid)  # to choose from
        return {"name": self.protocol, "probe": {"name": self.probe, **described}}


def settings_of(record: dict) -> EvaluationSettings:
    """The settings that a result's record says it was made with; raises ConfigError if there are none such."""
    protocol = record["protocol"]
    drawn = {name: record["statistics"].get(name, 0) for name in DRAWN}
    return EvaluationSettings(protocol["name"], protocol["probe"]["name"], **drawn, min_coverage=record["min_coverage"])
