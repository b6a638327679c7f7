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
