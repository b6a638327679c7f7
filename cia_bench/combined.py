"""Join the vectors of a model's parts into one vector a clip."""

from collections.abc import Callable, Sequence

import numpy as np

from cia_bench.errors import ConfigError

RAW = "raw"


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Each vector divided by its Euclidean length, (N, D) -> (N, D) of the same type; zero vectors stay zero."""
    exact = vectors.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    exact = np.divide(exact, largest, out=np.zeros_like(exact), where=largest > 0)  # squares stay finite and above 0
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.divide(exact, length, out=exact, where=length > 0).astype(vectors.dtype)


def _as_they_are(vectors: np.ndarray) -> np.ndarray:
    return vectors


COMBINATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {RAW: _as_they_are, "l2": unit_length}


def check_combination(how: str) -> None:
    """Raise ConfigError unless there is such a combination."""
    if how not in COMBINATIONS:
        raise ConfigError(f"unknown combine {how!r}; choose from {', '.join(sorted(COMBINATIONS))}")


def join(parts: Sequence[np.ndarray], how: str) -> np.ndarray:
    """The parts' vectors of the same N clips side by side: (N, D), (N, E), ... -> (N, D + E + ...)."""
    return np.concatenate([COMBINATIONS[how](vectors) for vectors in parts], axis=1)


def name_with(model: str, how: str) -> str:
    """What to call a model in results, so that two combinations of one model may stand in one table."""
    return model if how == RAW else f"{model} ({how})"


def rests_of(name: str) -> list[str]:
    """The names that a joined model of results would have without one of its parts, that without the last one first.

    `name` is what name_with gave: `a+b` has the rests a and b, `a+b+c (l2)` has a+b (l2) and two more. A model of one
    part has none.
    """
    how = next((how for how in COMBINATIONS if how != RAW and name.endswith(f" ({how})")), RAW)
    parts = [part.strip() for part in name.removesuffix(f" ({how})").split("+")]
    if len(parts) == 1 or not all(parts):
        return []
    rests = [parts[:left] + parts[left + 1 :] for left in reversed(range(len(parts)))]
    return [rest[0] if len(rest) == 1 else name_with("+".join(rest), how) for rest in rests]
