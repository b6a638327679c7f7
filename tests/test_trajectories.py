import math

import numpy as np
import pytest
import torch

from cia_bench.baselines.lift import LiFT, LiFTConfig, summary
from cia_bench.baselines.lift.checkpoint import save_lift
from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.summaries import Concat
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.trajectories import (
    ROUNDING,
    angle_between,
    measure,
    of_all,
    of_one,
    reconstruction_error,
    step_angles,
    straightness,
)


def random_paths(N: int = 5, T: int = 7, D: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, T, D)).astype(np.float32)


def slow_straightness(path: np.ndarray) -> float:
    """The mean angle of one clip (T, D), step by step."""
    angles = []
    for before, here, after in zip(path[:-2], path[1:-1], path[2:], strict=True):
        one = [float(b) - float(a) for a, b in zip(before, here, strict=True)]
        other = [float(b) - float(a) for a, b in zip(here, after, strict=True)]
        if any(one) and any(other):
            dot = sum(a * b for a, b in zip(one, other, strict=True))
            angles.append(math.degrees(math.acos(dot / math.hypot(*one) / math.hypot(*other))))
    return sum(angles) / len(angles) if angles else math.nan


@pytest.mark.parametrize(
    ("points", "angles"),
    [
        ([(0, 0), (1, 2), (3, 6), (4, 8)], [0, 0]),  # straight, in steps of two lengths
        ([(0, 0), (2, 1), (0, 0)], [180]),  # there and back
        ([(0, 0), (1, 0), (1, 3), (2, 4)], [90, 45]),
        ([(0, 0), (1, 0), (1, 0), (1, 3), (1, 4)], [math.nan, math.nan, 0]),  # the second step has no length
        ([(5, 5), (5, 5), (5, 5)], [math.nan]),
        ([(0, 0), (1, 1)], []),
        ([(3, 3)], []),
    ],
)
def test_angles_between_steps_are_as_drawn_by_hand(points, angles):
    found = step_angles(np.array([points], np.float32))
    np.testing.assert_allclose(found, np.reshape(angles, (1, -1)), rtol=0, atol=1e-9)
    counted = [angle for angle in angles if not math.isnan(angle)]
    mean = sum(counted) / len(counted) if counted else math.nan
    np.testing.assert_allclose(straightness(np.array([points], np.float32)), [mean], rtol=0, atol=1e-9)


def test_straightness_equals_its_slow_plain_version():
    paths = random_paths()
    paths[1, 3] = paths[1, 2]
    paths[2] = paths[2, :1]
    found = straightness(paths)
    np.testing.assert_allclose(found, [slow_straightness(path) for path in paths], rtol=0, atol=1e-9)
    assert np.isnan(found[2]) and np.isfinite(found[[0, 1, 3, 4]]).all()


def test_straightness_depends_neither_on_size_nor_on_place_nor_on_other_clips():
    paths = random_paths().astype(np.float64)
    np.testing.assert_allclose(straightness(1e-8 * paths), straightness(paths))
    np.testing.assert_allclose(straightness(paths + 50), straightness(paths))
    np.testing.assert_array_equal(straightness(paths[2:3]), straightness(paths)[2:3])


def test_a_step_of_rounding_alone_has_no_angle():
    path = np.array([[[0.0, 1000], [1, 1000], [1 + 900 * ROUNDING, 1000], [1 + 900 * ROUNDING, 1001]]])
    assert np.isnan(step_angles(path)).all()
    path[0, 2, 0] = 1 + 1100 * ROUNDING
    np.testing.assert_allclose(step_angles(path), [[0, 90]], atol=0.2)


def test_a_small_angle_is_not_lost_to_rounding():
    np.testing.assert_allclose(angle_between([1, 0], [1, 1e-9]), math.degrees(1e-9))
    np.testing.assert_allclose(angle_between([3, 0, 0], [[-1, 0, 0], [0, 2, 0], [1, 1, 0]]), [180, 90, 45])
    assert np.isnan(angle_between([0, 0], [1, 1]))


def test_the_reconstruction_error_is_a_share_of_what_the_frames_vary():
    clip = np.array([[[0.0, 0], [2, 0], [4, 0]]])  # around (2, 0): 4, 0 and 4 squared, over 6 numbers
    assert reconstruction_error(clip, clip) == 0
    np.testing.assert_allclose(reconstruction_error(clip, np.broadcast_to([2.0, 0], clip.shape)), 1)
    np.testing.assert_allclose(reconstruction_error(clip, clip + [0, 1]), 3 / 8)
    assert np.isnan(reconstruction_error(np.ones((1, 3, 2)), np.zeros((1, 3, 2))))


def test_a_latent_path_is_measured_by_its_start_and_its_displacement():
    latent = np.array([[[3.0, 4], [3, 5], [3, 6]], [[0, 2], [1, 2], [5, 2]], [[1, 0], [1, 0], [1, 0]]])
    measured = measure(latent, {"latent": latent})
    np.testing.assert_allclose(measured["norm of z_s"], [5, 2, 1])
    np.testing.assert_allclose(measured["norm of z_d"], [2, 5, 0])
    angle = math.degrees(math.atan2(3, 4))
    np.testing.assert_allclose(measured["angle of z_s and z_d (degrees)"], [angle, 90, math.nan])


def test_the_table_counts_the_clips_that_have_a_number():
    measured = {"angle": np.array([10.0, np.nan, 20.0]), "norm": np.full(3, np.nan)}
    lines = of_all(measured).splitlines()
    assert [line.split() for line in lines] == [
        ["mean", "sd", "clips"],
        ["angle", "15.00", "5.00", "2"],
        ["norm", "none", "none", "0"],
    ]
    one = {name: values[:1] for name, values in measured.items()}
    assert of_one(one) == "angle    10.00\nnorm      none\n"


@pytest.fixture
def lift(tmp_path) -> Lift:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LiFT(LiFTConfig(feature_dim=6, width=8, layers=1, heads=2))
    save_lift(model, tmp_path / "lift.safetensors", {"encoder": "made up"})
    return Lift(tmp_path)


@pytest.mark.parametrize("T", [2, 16, 40])
def test_lifts_trajectories_are_the_walk_from_what_it_summarises_and_what_its_model_draws(lift, T, monkeypatch):
    monkeypatch.setattr(summary, "CPU_BATCH", 2)  # the last batch holds one
    sequences = random_paths(5, T, 6)
    traced = lift.trajectories(sequences)
    z_s, z_d = np.split(lift(sequences, "abcde"), 2, axis=1)
    walk = np.stack([z_s + t / (T - 1) * z_d for t in range(T)], axis=1)
    np.testing.assert_allclose(traced["latent"], walk, rtol=0, atol=1e-5)
    with torch.no_grad():
        drawn = lift.model.decoder(torch.from_numpy(walk)).numpy()
    np.testing.assert_allclose(traced["reconstruction"], drawn, rtol=0, atol=1e-5)
    assert [(name, path.dtype.name) for name, path in traced.items()] == [
        ("latent", "float32"),
        ("reconstruction", "float32"),
    ]
    if T > 2:
        assert straightness(traced["latent"]).max() < 0.01


def test_lift_traces_no_sequence_that_it_would_not_summarise(lift):
    with pytest.raises(EncoderError, match="have 5 features a frame; these weights of lift take 6"):
        lift.trajectories(random_paths(2, 4, 5))
    with pytest.raises(ConfigError, match="at least 2 frames"):
        lift.trajectories(random_paths(2, 1, 6))
    assert lift.trajectories(np.empty((0, 4, 6), np.float32))["latent"].shape == (0, 4, 8)


def test_a_summary_that_says_nothing_of_frames_has_no_trajectories():
    assert Concat().trajectories(random_paths()) == {}
