import errno
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import untimed
from safetensors.torch import load_file
from test_lift import ORIGIN, random_sequences

from cia_bench.baselines.lift import LiFT, LiFTConfig, load_lift, run
from cia_bench.baselines.lift import batches as lift_batches
from cia_bench.baselines.lift.batches import Batches
from cia_bench.baselines.lift.checkpoint import FILE_NAME, load_with_origin
from cia_bench.baselines.lift.model import lift_loss
from cia_bench.baselines.lift.resuming import save_state
from cia_bench.baselines.lift.run import Run, draw_mixing, held_out_clips, mixed
from cia_bench.baselines.lift.settings import LiFTSettings, settings_for
from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.lift.train import train
from cia_bench.errors import ConfigError, TrainingError, WriteError
from cia_bench.files import alone
from cia_bench.probes import RidgeProbe
from cia_bench.progress import silent
from cia_bench.store import TrainingSet

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = LiFTSettings(width=8, epochs=2, batch_size=8, learning_rate=1e-3, held_out=0.25)


def videos_of(N: int, clips_each: int = 2) -> list[str]:
    return [f"v{i // clips_each:03}" for i in range(N)]


def training_set(sequences: np.ndarray, videos: list[str] | None = None, origin: dict = ORIGIN) -> TrainingSet:
    """Clips c000, c001 and so on, by default two of each video."""
    clip_ids = [f"c{i:03}" for i in range(len(sequences))]
    return TrainingSet(sequences, clip_ids, videos or videos_of(len(sequences)), origin)


def metrics(out: Path) -> list[dict]:
    """What a training logged, a line an epoch."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_seed_fixes_the_weights_to_the_bit_and_the_global_random_state_stays(tmp_path):
    weights = {}
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        torch.manual_seed(ord(name))
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        train(training_set(random_sequences()), tmp_path / name, replace(QUICK, seed=seed))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
        weights[name] = (tmp_path / name / FILE_NAME).read_bytes()
    assert weights["a"] == weights["b"] != weights["c"]


def test_training_learns_a_direction_that_the_mean_over_time_does_not_know(tmp_path):
    generator = np.random.default_rng(0)
    N, T, D = 300, 6, 12
    labels = np.arange(N) % 2
    path = np.outer(np.linspace(-1, 1, T), generator.standard_normal(D))  # (T, D)
    still = generator.standard_normal((N, 1, D))
    noise = 0.1 * generator.standard_normal((N, T, D))
    sequences = (np.where(labels[:, None, None] == 1, path, path[::-1]) + still + noise).astype(np.float32)
    train(training_set(sequences[:200]), tmp_path, LiFTSettings(epochs=15, batch_size=10, learning_rate=2e-3))
    losses = [epoch["held_out"]["loss"] for epoch in metrics(tmp_path)]
    assert min(losses) < 0.6 * losses[0]
    accuracy = {}
    for name, summarise in {"lift": lambda x: Lift(tmp_path)(x, []), "mean": lambda x: x.mean(axis=1)}.items():
        probe = RidgeProbe().fit(summarise(sequences[:200]), labels[:200])
        accuracy[name] = (probe.predict(summarise(sequences[200:])) == labels[200:]).mean()
    assert accuracy["mean"] < 0.65 and accuracy["lift"] > 0.95


def test_one_step_is_adams_with_the_weight_decay_in_the_gradient(tmp_path):
    training = training_set(random_sequences(8))
    settings = LiFTSettings(
        width=8, layers=1, dropout=0.0, epochs=1, batch_size=6, learning_rate=0.01, weight_decay=0.5, held_out=0.25
    )
    torch.manual_seed(settings.seed)
    model = LiFT(settings.config(6))
    x = torch.from_numpy(training.sequences[~held_out_clips(training.videos, 0.25, settings.seed)])
    lift_loss(x, *model(x))[0].backward()
    # Adam's first step is the learning rate times gradient / (|gradient| + 1e-8)
    expected = {}
    for key, parameter in model.named_parameters():
        gradient = parameter.grad + 0.5 * parameter.detach()
        expected[key] = parameter.detach() - 0.01 * gradient / (gradient.abs() + 1e-8)
    train(training, tmp_path, settings)
    for key, parameter in load_lift(tmp_path).named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[key], rtol=0, atol=1e-5)


def test_every_epoch_trains_with_dropout_and_judges_without(tmp_path, monkeypatch):
    modes = []
    with monkeypatch.context() as patched:
        forward = LiFT.forward
        patched.setattr(LiFT, "forward", lambda model, x: modes.append(model.training) or forward(model, x))
        train(training_set(random_sequences(8)), tmp_path, replace(QUICK, epochs=3))
    assert modes == [True, False] * 3


def test_the_orthogonality_weighs_what_is_asked(tmp_path):
    for weight in (0.0, 2.5):
        train(training_set(random_sequences()), tmp_path / f"{weight}", replace(QUICK, orthogonality=weight))
        for line in metrics(tmp_path / f"{weight}"):
            for terms in (line["train"], line["held_out"]):
                assert terms["loss"] == pytest.approx(terms["reconstruction"] + weight * terms["orthogonality"])
                assert terms["orthogonality"] > 0


def test_a_model_trained_on_standardised_features_takes_and_draws_them_as_they_are(tmp_path):
    videos, settings = videos_of(24), replace(QUICK, standardise=True)
    held_out = held_out_clips(videos, settings.held_out, settings.seed)
    raw = 5 + 0.01 * random_sequences()
    mean = raw[~held_out].astype(np.float64).mean(axis=(0, 1))
    scale = np.sqrt(((raw[~held_out] - mean) ** 2).mean())
    standard = ((raw - mean) / scale).astype(np.float32)
    train(training_set(raw), tmp_path / "raw", settings)
    train(training_set(standard), tmp_path / "standard", QUICK)
    with torch.no_grad():
        x_hat, *codes = load_lift(tmp_path / "raw")(torch.from_numpy(raw))
        x_hat_standard, *codes_standard = load_lift(tmp_path / "standard")(torch.from_numpy(standard))
    np.testing.assert_allclose(x_hat, mean + scale * x_hat_standard.double().numpy(), rtol=0, atol=1e-4)
    for ours, theirs in zip(codes, codes_standard, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)
    assert metrics(tmp_path / "raw")[0]["held_out"]["loss"] > 0.5  # in units of standardised features


def test_constant_features_can_be_standardised(tmp_path):
    train(training_set(np.ones((24, 4, 6), np.float32)), tmp_path, replace(QUICK, standardise=True))
    assert load_lift(tmp_path).config.width == 8


def test_the_learning_rate_halves_after_more_than_five_epochs_without_a_better_held_out_loss(tmp_path):
    settings = LiFTSettings(width=8, epochs=25, batch_size=8, learning_rate=0.03)
    train(training_set(random_sequences()), tmp_path, settings)
    rate, best, bad = 0.03, math.inf, 0
    for epoch in metrics(tmp_path):
        assert epoch["learning_rate"] == pytest.approx(rate)
        better = epoch["held_out"]["loss"] < best * (1 - 1e-4)
        best, bad = (epoch["held_out"]["loss"], 0) if better else (best, bad + 1)
        if bad > 5:
            rate, bad = rate / 2, 0
    assert rate < 0.03


def test_the_kept_weights_are_those_with_the_best_held_out_loss(tmp_path):
    sequences, videos = random_sequences(40), videos_of(40)
    settings = LiFTSettings(width=8, epochs=12, batch_size=3, learning_rate=0.02, seed=5)  # 4 held out: 3 and 1
    record = train(training_set(sequences), tmp_path, settings)
    losses = [epoch["held_out"]["loss"] for epoch in metrics(tmp_path)]
    assert record["best"]["held_out"]["loss"] == losses[record["best"]["epoch"] - 1] == min(losses) < losses[-1]
    x = torch.from_numpy(sequences[held_out_clips(videos, settings.held_out, settings.seed)])
    with torch.no_grad():
        assert lift_loss(x, *load_lift(tmp_path)(x))[0].item() == pytest.approx(min(losses), rel=1e-5)


def test_clips_of_one_video_are_never_on_both_sides():
    videos = [f"v{i % 20}" for i in range(200)]
    held_out = held_out_clips(videos, 0.1, seed=0)
    sides = {video: {bool(held_out[i]) for i in range(200) if videos[i] == video} for video in videos}
    assert all(len(side) == 1 for side in sides.values())
    assert held_out.sum() == 20
    assert (held_out_clips(videos, 0.1, seed=1) != held_out).any()
    assert held_out_clips(["a", "a", "b"], 0.99, 0).sum() in (1, 2)
    assert held_out_clips(["a", "a", "b"], 0.01, 0).sum() in (1, 2)


def test_held_out_clips_do_not_move_the_weights(tmp_path):
    settings = replace(QUICK, epochs=1)
    sequences, videos = random_sequences(), videos_of(24)
    held_out = held_out_clips(videos, settings.held_out, settings.seed)
    weights = {}
    for name, changed in {"as is": [], "held out": held_out, "trained on": np.flatnonzero(~held_out)[:1]}.items():
        x = sequences.copy()
        x[changed] += 1
        record = train(training_set(x), tmp_path / name, settings)
        weights[name] = (tmp_path / name / FILE_NAME).read_bytes()
    assert weights["as is"] == weights["held out"] != weights["trained on"]
    assert record["clips"] == {"train": 18, "held_out": 6}


def test_the_record_and_the_metrics_say_what_was_trained_how_and_how_it_went(tmp_path):
    out = tmp_path / "new" / "lift"
    shown = []

    class Bar:
        def __init__(self, *label):
            shown.append(label)

        def __enter__(self):
            return lambda *said: shown.append(said)

        def __exit__(self, *error):
            pass

    record = train(training_set(random_sequences().astype(np.float16)), out, QUICK, progress=Bar)
    assert json.loads((out / "training.json").read_text()) == record
    assert sorted(path.name for path in out.iterdir()) == [".lock", FILE_NAME, "metrics.jsonl", "training.json"]
    assert record["settings"] == vars(QUICK) and record["origin"] == ORIGIN == load_with_origin(out)[1]
    assert record["config"]["feature_dim"] == 6 and record["config"]["width"] == 8
    assert [line["epoch"] for line in metrics(out)] == [1, 2]
    for part in ("train", "held_out"):
        terms = metrics(out)[0][part]
        assert terms["loss"] == pytest.approx(terms["reconstruction"] + 0.1 * terms["orthogonality"])
    assert metrics(out)[1]["videos_per_s"] > 0
    assert shown[0] == ("train lift", 36, "videos") and shown[1:4] == [(8,), (8,), (2,)]  # 18 clips by 8
    held_out = metrics(out)[1]["held_out"]["loss"]
    assert (
        shown[-1][0] == 0 and shown[-1][1].startswith("epoch 2: loss ") and f"held out {held_out:.4f}" in shown[-1][1]
    )


def test_sequences_in_half_precision_are_trained_on_as_they_are(tmp_path):
    half = random_sequences().astype(np.float16)
    for name, sequences in {"half": half, "float": half.astype(np.float32)}.items():
        train(training_set(sequences), tmp_path / name, replace(QUICK, standardise=True))
    assert (tmp_path / "half" / FILE_NAME).read_bytes() == (tmp_path / "float" / FILE_NAME).read_bytes()


def test_bfloat16_trains_nearly_alike(tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        train(training_set(random_sequences()), tmp_path / precision, replace(QUICK, precision=precision))
        losses[precision] = metrics(tmp_path / precision)[-1]["held_out"]["loss"]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_the_cosine_schedule_warms_up_and_ends_near_nothing(tmp_path):
    settings = replace(QUICK, schedule="cosine", epochs=40, learning_rate=0.01)  # 3 steps an epoch, 6 to warm up
    assert [settings.learning_rate_at(step, 120) for step in (0, 2)] == pytest.approx([0.01 / 6, 0.005], rel=0.01)
    assert settings.learning_rate_at(60, 120) == pytest.approx(0.005)
    train(training_set(random_sequences()), tmp_path, settings)
    rates = [line["learning_rate"] for line in metrics(tmp_path)]  # of each epoch's last step
    assert rates == pytest.approx([settings.learning_rate_at(3 * epoch + 2, 120) for epoch in range(40)])
    assert rates[-1] < 1e-5


def test_augmented_clips_are_others_backwards_and_mixed_by_an_angle():
    torch.manual_seed(0)
    x = torch.eye(8)[:, None, :] * torch.tensor([1.0, 2.0, 3.0])[:, None]  # clip i: 1, 2, 3 times the i-th axis
    forwards = 0
    for i, clip in enumerate(mixed(x, *draw_mixing(8, "cpu"))):  # (3, 8)
        (j,) = [axis for axis in range(8) if axis != i and clip[:, axis].any()] or [i]
        own, other = clip[:, i], clip[:, j]
        for walk in (own, other):
            order = walk / walk.max() * 3
            assert torch.allclose(order, torch.tensor([1.0, 2.0, 3.0])) or torch.allclose(
                order, torch.tensor([3.0, 2, 1])
            )
        if j != i:
            assert own.square().sum() + other.square().sum() == pytest.approx(14)  # cos and sin of one angle
            forwards += bool(own[0] < own[2])
    assert 0 < forwards < 8


def test_augmented_clips_keep_mean_and_variance():
    x = torch.from_numpy(random_sequences(20_000, T=2, D=1))
    changed = mixed(x, *draw_mixing(len(x), "cpu"))
    assert changed.mean().item() == pytest.approx(0, abs=0.02) and changed.var().item() == pytest.approx(1, abs=0.03)
    assert torch.cov(torch.stack([x[:, 0, 0], changed.mean(dim=1)[:, 0]]))[0, 1] > 0.2  # still mostly themselves


def test_the_scaled_recipe_grows_its_batches_with_the_store_and_the_paper_one_stays():
    sizes = {clips: settings_for(clips, 384).batch_size for clips in (1, 600, 12_000, 240_000, 10**7)}
    assert sizes == {1: 32, 600: 32, 12_000: 512, 240_000: 4096, 10**7: 4096}
    scaled = settings_for(600, 384)
    assert (scaled.epochs, scaled.schedule, scaled.standardise, scaled.augment) == (459, "cosine", True, True)
    assert scaled.precision == "float32" and settings_for(600, 384, device="cuda:1").precision == "bfloat16"
    assert settings_for(600, 384, "paper", "cuda") == LiFTSettings()
    assert settings_for(600, 384, epochs=7, dropout=0.2) == replace(scaled, epochs=7, dropout=0.2)
    assert scaled.learning_rate == pytest.approx(0.3 / 384) and settings_for(600, 64).learning_rate == 3e-3
    assert settings_for(600, 384, width=768).learning_rate == pytest.approx(0.3 / 768)
    assert settings_for(600, 384, learning_rate=1e-3).learning_rate == 1e-3
    with pytest.raises(ConfigError, match="unknown recipe 'best'; choose from scaled, paper"):
        settings_for(600, 384, "best")


# going on


class Killed(Exception):
    pass


def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the training off at that step, once all before it are saved."""
    taken = []

    def take_step(self, x):
        taken.append(1)
        if len(taken) > steps:
            raise Killed
        return step(self, x)

    step = Run._take_step
    monkeypatch.setattr(Run, "_take_step", take_step)
    monkeypatch.setattr(run, "SAVING", math.inf)


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
@pytest.mark.parametrize("steps", [1, 3, 10, 11])
def test_a_training_that_was_broken_off_ends_with_the_same_bytes(tmp_path, monkeypatch, schedule, steps):
    settings = replace(QUICK, epochs=5, schedule=schedule, standardise=True, augment=True)  # 3 steps an epoch
    training = training_set(random_sequences())
    whole = train(training, tmp_path / "whole", settings)
    with monkeypatch.context() as patched:
        killed_after(steps, patched)
        with pytest.raises(Killed):
            train(training, tmp_path / "out", settings)
    assert (tmp_path / "out" / "unfinished.safetensors").exists()
    shown = []
    assert (
        train(training, tmp_path / "out", settings, progress=lambda *label: shown.append(label) or silent(*label))
        == whole
    )
    assert shown == [("train lift", 5 * 18 - (steps // 3 * 18 + steps % 3 * 8), "videos")]
    assert (tmp_path / "out" / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert sorted(names) == [".lock", FILE_NAME, "metrics.jsonl", "training.json"]
    out, undisturbed = (untimed((tmp_path / name / "metrics.jsonl").read_bytes()) for name in ("out", "whole"))
    assert out == undisturbed


def test_a_finished_training_is_not_trained_again(tmp_path):
    record = train(training_set(random_sequences()), tmp_path, QUICK)
    before = (tmp_path / "metrics.jsonl").read_bytes()  # which has times
    assert train(training_set(random_sequences()), tmp_path, QUICK) == record
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_the_best_weights_so_far_can_be_used_while_it_trains(tmp_path, monkeypatch):
    killed_after(8, monkeypatch)
    with pytest.raises(Killed):
        train(training_set(random_sequences()), tmp_path, replace(QUICK, epochs=5))
    assert Lift(tmp_path)(random_sequences(), []).shape == (24, 16)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state[:-9],
        lambda state: state.replace(b'\\"best_epoch', b'\\"best_epocx'),
        lambda state: state.replace(b"optimiser/0/exp_avg", b"optimiser/0/exp_avx"),
        lambda state: state.replace(b"model/encoder.cls", b"model/encoder.clx"),
    ],
)
def test_a_damaged_state_is_named(tmp_path, monkeypatch, damage):
    with monkeypatch.context() as patched:
        killed_after(4, patched)
        with pytest.raises(Killed):
            train(training_set(random_sequences()), tmp_path, QUICK)
    state = tmp_path / "unfinished.safetensors"
    spoilt = damage(state.read_bytes())
    assert spoilt != state.read_bytes()
    state.write_bytes(spoilt)
    with pytest.raises(TrainingError, match="unfinished.safetensors can't be gone on with .*; delete it to begin anew"):
        train(training_set(random_sequences()), tmp_path, QUICK)
    assert state.read_bytes() == spoilt


def test_a_full_disk_while_saving_leaves_what_was_saved(tmp_path, monkeypatch):
    training, whole = training_set(random_sequences()), tmp_path / "whole"
    train(training, whole, QUICK)
    with monkeypatch.context() as patched:
        killed_after(99, patched)  # saves at each step
        saved = []

        def full(*arguments):
            if len(saved) == 3:
                raise OSError(errno.ENOSPC, "No space left on device", "unfinished.safetensors")
            saved.append(save_state(*arguments))

        patched.setattr(run, "save_state", full)
        with pytest.raises(WriteError, match="unfinished.safetensors: No space left on device; what was there stays"):
            train(training, tmp_path / "out", QUICK)
    train(training, tmp_path / "out", QUICK)
    assert (tmp_path / "out" / FILE_NAME).read_bytes() == (whole / FILE_NAME).read_bytes()


def test_two_trainings_into_one_folder_do_not_mix(tmp_path):
    with alone(tmp_path, lambda: None):
        with pytest.raises(TrainingError, match="another process trains into"):
            train(training_set(random_sequences()), tmp_path, QUICK)


# streaming


def test_streamed_batches_are_those_asked_for_in_order():
    sequences = random_sequences(10).astype(np.float16)
    batches = Batches(sequences, torch.device("cpu"))
    wanted = [torch.tensor(rows) for rows in ([3, 1], [0, 9, 9], [5, 5])]
    for streamed in (False, True):
        batches._streamed = streamed
        got = list(batches.take(wanted))
        assert [x.dtype for x in got] == [torch.float16] * 3
        for rows, x in zip(wanted, got, strict=True):
            np.testing.assert_array_equal(x, sequences[rows])
        assert list(batches.take([])) == []


def test_what_does_not_fit_a_gpu_is_streamed_and_it_is_said(monkeypatch, caplog):
    sequences = np.zeros((4, 16, 256), np.float16)  # 32 KiB
    monkeypatch.setattr(lift_batches, "free_bytes", lambda device: 65_535)
    batches = Batches(sequences, torch.device("cuda"))
    assert batches._streamed and "are too much for cuda" in caplog.text and "streamed" in caplog.text
    monkeypatch.setattr(lift_batches, "free_bytes", lambda device: 65_536)
    assert not Batches(sequences, torch.device("meta"))._streamed


@pytest.mark.parametrize(("feature_dim", "width"), [(384, 384), (96, 96), (100, 104), (3, 8)])
def test_the_width_is_the_number_of_features_rounded_up_to_the_heads(feature_dim, width):
    assert LiFTSettings().config(feature_dim) == LiFTConfig(feature_dim, width)
    assert LiFTSettings(width=64).config(feature_dim).width == 64


def test_the_default_settings_are_the_published_ones():
    settings = LiFTSettings()
    assert (settings.learning_rate, settings.weight_decay, settings.batch_size) == (1e-4, 1e-5, 128)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"width": 12}, "width 12 can't be divided"),
        ({"width": 0}, "width is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -1e-5}, "weight_decay is -1e-05"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"layers": 0}, "layers is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"orthogonality": -0.1}, "orthogonality is -0.1"),
        ({"augment": True}, "it needs standardise too"),
        ({"precision": "float16"}, "float16 loses small gradients; train in bfloat16 or float32"),
        ({"schedule": "linear"}, "unknown schedule 'linear'; choose from plateau, cosine"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, said):
    with pytest.raises(ConfigError, match=said):
        LiFTSettings(**setting)


def with_a_nan() -> np.ndarray:
    sequences = random_sequences()
    sequences[5, 1, 2] = math.nan
    return sequences


@pytest.mark.parametrize(
    ("sequences", "videos", "said"),
    [
        (random_sequences(T=1), videos_of(24), r"at least 2 frames.*\(24, 1, 6\)"),
        (random_sequences()[0], videos_of(4), r"at least 2 frames.*\(4, 6\)"),
        (random_sequences().astype(np.float64), videos_of(24), "not on float64"),
        (random_sequences(), videos_of(22), "24 sequences, the ids of 24 clips and the videos of 22"),
        (random_sequences(), ["v"] * 24, "24 clips of 1 video can't"),
        (random_sequences(0), [], "0 clips of 0 video can't"),
        (with_a_nan(), videos_of(24), "NaN or infinite numbers in the sequence of 'c005'; extract again"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_and_nothing_is_written(tmp_path, sequences, videos, said):
    clip_ids = [f"c{i:03}" for i in range(len(sequences))]
    with pytest.raises(TrainingError, match=said):
        train(TrainingSet(sequences, clip_ids, videos, ORIGIN), tmp_path / "out", QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_breaks_is_told_with_its_place_and_its_clips(tmp_path):
    sequences, videos = random_sequences(), videos_of(24)
    held_out = held_out_clips(videos, QUICK.held_out, QUICK.seed)
    broken = int(np.flatnonzero(~held_out)[4])
    sequences[broken] *= 1e30
    with pytest.raises(
        TrainingError, match=rf"epoch 1, step [123], of clips 'c{broken:03}' and [17] more; try a lower"
    ):
        train(training_set(sequences), tmp_path / "step", QUICK)
    (line,) = metrics(tmp_path / "step")
    assert len(set(line["clip_ids"])) in (2, 8) and line["clip_ids"][0] == f"c{broken:03}"
    sequences = random_sequences()
    sequences[held_out] *= 1e30
    with pytest.raises(TrainingError, match="not finite at epoch 1, on what is held out, of clips 'c.*' and 5 more;"):
        train(training_set(sequences), tmp_path / "held out", QUICK)


def test_what_was_saved_before_a_loss_broke_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVING", math.inf)
    settings = replace(QUICK, epochs=50, learning_rate=1e6)
    with pytest.raises(TrainingError, match="not finite at epoch .*; the state of epoch .* stays in ") as refusal:
        train(training_set(random_sequences() * 1e15), tmp_path, settings)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "unfinished.safetensors").values())
    with pytest.raises(TrainingError) as again:
        train(training_set(random_sequences() * 1e15), tmp_path, settings)
    assert str(again.value) == str(refusal.value)


def test_a_folder_with_another_training_is_left_alone(tmp_path):
    sequences = random_sequences()
    train(training_set(sequences), tmp_path, QUICK)
    before = (tmp_path / FILE_NAME).read_bytes()
    others = [
        ("origin (encoder)", {**ORIGIN, "encoder": "another"}, QUICK),
        ("settings (epochs, seed)", ORIGIN, replace(QUICK, epochs=3, seed=4)),
    ]
    for said, origin, settings in others:
        with pytest.raises(TrainingError, match=f"other {re.escape(said)}; delete it or choose another --out"):
            train(training_set(sequences, origin=origin), tmp_path, settings)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    (tmp_path / "training.json").write_text("not ours")
    with pytest.raises(TrainingError, match="training.json can't be read .*; delete .* or choose another --out"):
        train(training_set(sequences), tmp_path, QUICK)
    assert (tmp_path / "training.json").read_text() == "not ours"


def test_a_folder_with_a_checkpoint_from_elsewhere_is_left_alone(tmp_path):
    (tmp_path / FILE_NAME).write_text("theirs")
    with pytest.raises(TrainingError, match="holds a checkpoint that was not trained there; choose another --out"):
        train(training_set(random_sequences()), tmp_path, QUICK)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(FILE_NAME, "theirs")]


def test_a_broken_off_training_with_other_settings_is_left_alone(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        killed_after(2, patched)
        with pytest.raises(Killed):
            train(training_set(random_sequences()), tmp_path, QUICK)
    with pytest.raises(TrainingError, match=r"other settings \(seed\)"):
        train(training_set(random_sequences()), tmp_path, replace(QUICK, seed=1))
