"""Measure trajectories: how straight the path of a clip's frames is, and what a summary made of it.

A trajectory is (N, T, D): N clips, T frames in the order of time, D numbers a frame. Everything is computed in float64.
"""

from collections.abc import Mapping

import numpy as np

ROUNDING = 1e-6  # of a clip's longest vector: of a step that is shorter, float32 has no direction
Z_S_NORM, Z_D_NORM = "norm of z_s", "norm of z_d"
Z_ANGLE = "angle of z_s and z_d (degrees)"
ERROR = "reconstruction error (share of variance)"


def step_angles(trajectories: np.ndarray) -> np.ndarray:
    """The angle between each step and the next, (N, T, D) -> (N, T - 2) in degrees; 0 is straight on, 180 back.

    A step of zero length (within ROUNDING) has no angle to its neighbours: NaN.
    """
    points = np.asarray(trajectories, np.float64)
    steps = np.diff(points, axis=1)  # (N, T - 1, D)
    longest = np.linalg.norm(points, axis=2).max(axis=1, keepdims=True)  # (N, 1)
    moves = np.linalg.norm(steps, axis=2) > ROUNDING * longest  # (N, T - 1)
    return np.where(moves[:, :-1] & moves[:, 1:], angle_between(steps[:, :-1], steps[:, 1:]), np.nan)


def straightness(trajectories: np.ndarray) -> np.ndarray:
    """The mean angle between consecutive steps of each clip, (N, T, D) -> (N,) in degrees; NaN if it has none.

    Source: the curvature of Henaff, Goris and Simoncelli, "Perceptual straightening of natural videos", 2019.
    """
    angles = step_angles(trajectories)
    counted = np.isfinite(angles)
    counts = counted.sum(axis=1)
    sums = np.where(counted, angles, 0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(angles), np.nan), where=counts > 0)


def angle_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The angle between vectors, (..., D), (..., D) -> (...) in degrees, 0 to 180; NaN where one is all zeros.

    By half angles as Kahan does, since the arc cosine loses small angles to rounding.
    """
    one, other = _unit(np.asarray(one, np.float64)), _unit(np.asarray(other, np.float64))
    apart, along = np.linalg.norm(one - other, axis=-1), np.linalg.norm(one + other, axis=-1)
    return np.degrees(2 * np.arctan2(apart, along))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 0)


def reconstruction_error(sequences: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Mean squared error as a share of the frames' variance around their clip's mean: (N, T, D) twice -> (N,).

    0 redraws each frame, 1 is no better than to repeat the clip's mean. NaN for a clip whose frames are all the same.
    """
    sequences, reconstruction = np.asarray(sequences, np.float64), np.asarray(reconstruction, np.float64)
    error = np.square(reconstruction - sequences).mean(axis=(1, 2))
    spread = sequences - sequences.mean(axis=1, keepdims=True)
    still = np.abs(spread).max(axis=(1, 2)) <= ROUNDING * np.abs(sequences).max(axis=(1, 2))
    variance = np.square(spread).mean(axis=(1, 2))
    return np.divide(error, variance, out=np.full(len(error), np.nan), where=~still)


def angle_name(trajectory: str) -> str:
    """How `measure` names the straightness of a trajectory."""
    return f"mean angle of steps, {trajectory} (degrees)"


def measure(sequences: np.ndarray, trajectories: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All that can be measured of N clips and their summary's trajectories (encoders.Summary): (N,) each, by name."""
    measured = {angle_name(name): straightness(path) for name, path in {"input": sequences, **trajectories}.items()}
    if "latent" in trajectories:
        latent = np.asarray(trajectories["latent"], np.float64)
        z_s, z_d = latent[:, 0], latent[:, -1] - latent[:, 0]
        measured[Z_S_NORM], measured[Z_D_NORM] = np.linalg.norm(z_s, axis=1), np.linalg.norm(z_d, axis=1)
        measured[Z_ANGLE] = angle_between(z_s, z_d)
    if "reconstruction" in trajectories:
        measured[ERROR] = reconstruction_error(sequences, trajectories["reconstruction"])
    return measured


def of_one(measured: Mapping[str, np.ndarray]) -> str:
    """What was measured of one clip, a line a number."""
    wide = max(map(len, measured))
    return "".join(f"{name:<{wide}} {_number(values):>8}\n" for name, values in measured.items())


def of_all(measured: Mapping[str, np.ndarray]) -> str:
    """A table of what was measured: mean and standard deviation over the clips that have a number, and how many do."""
    wide = max(map(len, measured))
    lines = [f"{'':<{wide}} {'mean':>8} {'sd':>8} {'clips':>7}"]
    for name, values in measured.items():
        values = values[np.isfinite(values)]
        mean, deviation = (values.mean(), values.std()) if len(values) else (np.nan, np.nan)
        lines.append(f"{name:<{wide}} {_number(mean):>8} {_number(deviation):>8} {len(values):>7,}")
    return "\n".join(lines) + "\n"


def _number(value: np.ndarray) -> str:
    return f"{value.item():.2f}" if np.isfinite(value) else "none"
