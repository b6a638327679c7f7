"""Rankings of models that nobody made, for what draws them; a group's accuracies scatter around its model's."""

from itertools import pairwise

import numpy as np

from cia_bench.leaderboard.rows import CONSTANT, Row
from cia_bench.leaderboard.table import Comparison, Ranking

PARAMETERS = {"pixels": None, "dinov2-small-reg": 22_100_000, "clip-b16": 86_200_000, "siglip2-base": 92_900_000}
VIDEO_MODELS = {"videomae-large": (304_000_000, 1024), "vjepa-large": (305_000_000, 1024)}


def score(accuracy: float, half: float = 0.025) -> dict:
    return {"accuracy": accuracy, "interval": [max(0.0, accuracy - half), min(1.0, accuracy + half)]}


def make_row(name: str, accuracies: dict[str, float], groups: int = 0, seed: int = 0, **known) -> Row:
    """A measured model with an accuracy a source, and in each source as many groups."""
    generator = np.random.default_rng(seed)
    cells = [
        {
            "group_id": f"{source}/open-close/{number:03}",
            "source": source,
            "n": 40 + number,
            **score(float(np.clip(accuracy + 0.1 * generator.standard_normal() + 0.001 * number - 0.05, 0, 1)), 0.1),
        }
        for source, accuracy in accuracies.items()
        for number in range(groups)
    ]
    mean = score(sum(accuracies.values()) / len(accuracies), 0.015)
    scores = {source: score(accuracy) for source, accuracy in accuracies.items()}
    return Row(name, scores, mean, groups=cells, **known)


def compare(a: str, b: str, sources: list[str]) -> Comparison:
    """Two models that differ by two points, which is within their interval."""
    part = {"difference": 0.02, "interval": (-0.01, 0.05), "p": 0.2}
    return Comparison(a, b, **part, p_adjusted=0.4, sources={source: part for source in sources}, asked=False)


def make_ranking(rows: list[Row], sources: list[str], groups: int = 0, protocol: str = "paper") -> Ranking:
    """The rows, best first, the constant answer, which scores 55 percent, and what was reported."""
    rows = sorted(rows, key=lambda row: (row.mean is None, -row.mean["accuracy"] if row.mean else 0, row.model))
    constant = Row(CONSTANT, {source: score(0.55) for source in sources}, score(0.55, 0.015), constant=True)
    return Ranking(
        protocol=f"protocol {protocol}, ridge probe",
        protocol_name=protocol,
        metric="accuracy",
        level=0.95,
        sources={source: {"groups": groups, "clips": 3096, "fingerprint": source[0] * 64} for source in sources},
        rows=[*(row for row in rows if row.measured), constant, *(row for row in rows if row.reported)],
        comparisons=[compare(a, b, sources) for a, b in pairwise(row.model for row in rows if row.measured)],
        notes=[],
    )


def make_published_like(groups: int = 4) -> Ranking:
    """Fourteen models on two sources as the published figure has them, and two that were reported."""
    rows = []
    for number, (encoder, parameters) in enumerate(PARAMETERS.items()):
        for place, (summary, dim) in enumerate({"mean": 384, "concat": 6144, "lift": 768}.items()):
            accuracy = 0.52 + 0.09 * place + 0.02 * number
            known = {
                "encoder": encoder,
                "frames": 16,
                "parameters": parameters and parameters + (8_000_000 if summary == "lift" else 0),
                "dim": dim * (1 + number // 2),
                "gain": None if summary == "mean" else {"value": 0.09 * place, "interval": None},
                "flip_rate": {"value": 0.2 * place, "interval": [0.2 * place - 0.02, 0.2 * place + 0.02]},
                "rank_interval": (1 + 3 * (2 - place), 4 + 3 * (2 - place)),
                "tie_group": 3 - place,
                "coverage": {"epic": 1.0, "ssv2": 0.998},
                "saw": {} if encoder == "pixels" else None,
            }
            accuracies = {"epic": accuracy - 0.02, "ssv2": accuracy + 0.03}
            rows.append(make_row(f"{encoder}:{summary}", accuracies, groups, 10 * number + place, **known))
    for number, (name, (parameters, dim)) in enumerate(VIDEO_MODELS.items()):
        known = {"encoder": name, "frames": 16, "parameters": parameters, "dim": dim, "saw": {"ssv2": "clips"}}
        known |= {"verified": bool(number), "rank_interval": (3, 8), "tie_group": 2, "clips_per_s": 12.5}
        rows.append(make_row(name, {"epic": 0.66, "ssv2": 0.71 + number / 50}, groups, 90 + number, **known))
    for name, accuracy, parameters, dim in (("LiFT", 0.772, 30_000_000, 768), ("CTP", 0.671, 33_000_000, 512)):
        mean = {"accuracy": accuracy, "interval": None}
        rows.append(Row(name, {}, mean, parameters=parameters, dim=dim, reported=True))
    rows.append(Row("Perception Encoder", {}, None, reported=True))
    return make_ranking(rows, ["epic", "ssv2"], groups)


def make_large(models: int = 200, groups: int = 300) -> Ranking:
    """As many models on as many groups of one source."""
    generator = np.random.default_rng(0)
    rows = [
        make_row(
            f"model-{number:03}:{('mean', 'concat', 'lift')[number % 3]}",
            {"ssv2": float(generator.uniform(0.5, 0.9))},
            groups,
            number,
            parameters=int(10 ** generator.uniform(6, 9)),
            dim=int(2 ** generator.integers(8, 15)),
        )
        for number in range(models)
    ]
    return make_ranking(rows, ["ssv2"], groups)
