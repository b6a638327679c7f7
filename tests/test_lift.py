import hashlib
import json
import math
import pickle
import random

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cia_bench.baselines.lift import LiFT, LiFTConfig, checkpoint, load_lift, summary
from cia_bench.baselines.lift.checkpoint import FILE_NAME, read_origin, save_lift
from cia_bench.baselines.lift.model import lift_loss, walk
from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.lift.train import LiFTSettings, _fit, held_out_clips, train
from cia_bench.errors import ConfigError, EncoderError, TrainingError
from cia_bench.probes import RidgeProbe
from cia_bench.progress import silent

SMALL = LiFTConfig(feature_dim=6, width=8, layers=2, heads=2)
QUICK = LiFTSettings(width=8, epochs=2, batch_size=8, learning_rate=1e-3, held_out=0.25)
ORIGIN = {"encoder": "made up", "frames": 4}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_model(config: LiFTConfig = SMALL) -> LiFT:
    """A model in evaluation mode whose every parameter is random, biases and norms too."""
    generator = torch.Generator().manual_seed(3)
    model = LiFT(config)
    for parameter in model.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def random_sequences(N: int = 24, T: int = 4, D: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, T, D)).astype(np.float32)


def videos_of(N: int, clips_each: int = 2) -> list[str]:
    return [f"v{i // clips_each:03}" for i in range(N)]


# the model


def layer_norm(x, weight, bias):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight + bias


def gelu(x):
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])


def slow_lift(P: dict[str, np.ndarray], config: LiFTConfig, x: np.ndarray):
    """The equations of LiFT for one sequence (T, D), token by token: x_hat (T, D), z_s (W,), z_d (W,)."""

    def linear(name, v):
        return P[f"{name}.weight"] @ v + P[f"{name}.bias"]

    def norm(name, v):
        return layer_norm(v, P[f"{name}.weight"], P[f"{name}.bias"])

    T, W, size = len(x), config.width, config.width // config.heads
    tokens = [P["encoder.cls_static"][0, 0], P["encoder.cls_dynamic"][0, 0]]
    for t in range(T):
        angles = [t / 10000 ** ((i - i % 2) / W) for i in range(W)]
        code = [math.cos(angle) if i % 2 else math.sin(angle) for i, angle in enumerate(angles)]
        tokens.append(linear("encoder.input_proj", x[t]) + np.array(code))
    for number in range(config.layers):
        layer = f"encoder.transformer.layers.{number}"
        into = [
            P[f"{layer}.self_attn.in_proj_weight"] @ norm(f"{layer}.norm1", v) + P[f"{layer}.self_attn.in_proj_bias"]
            for v in tokens
        ]
        query, key, value = ([v[part * W : (part + 1) * W] for v in into] for part in range(3))
        for i in range(len(tokens)):
            mixed = np.zeros(W)
            for head in range(config.heads):
                of_head = slice(head * size, (head + 1) * size)
                scores = np.array([query[i][of_head] @ k[of_head] / math.sqrt(size) for k in key])
                shares = np.exp(scores) / np.exp(scores).sum()
                mixed[of_head] = sum(share * v[of_head] for share, v in zip(shares, value, strict=True))
            tokens[i] = tokens[i] + linear(f"{layer}.self_attn.out_proj", mixed)
        for i in range(len(tokens)):
            inner = np.maximum(linear(f"{layer}.linear1", norm(f"{layer}.norm2", tokens[i])), 0)
            tokens[i] = tokens[i] + linear(f"{layer}.linear2", inner)
    z_s = norm("encoder.static_norm", linear("encoder.static_proj", tokens[0]))
    z_d = norm("encoder.dynamic_norm", linear("encoder.dynamic_proj", tokens[1]))
    x_hat = []
    for t in range(T):
        hidden = gelu(norm("decoder.model.1", linear("decoder.model.0", z_s + t / (T - 1) * z_d)))
        hidden = gelu(norm("decoder.model.4", linear("decoder.model.3", hidden)))
        x_hat.append(linear("decoder.model.6", hidden))
    return np.array(x_hat), z_s, z_d


@pytest.mark.parametrize("T", [2, 4, 16, 40])
@pytest.mark.parametrize("grad", [True, False])  # without gradients torch takes another path through its layers
@pytest.mark.parametrize("config", [SMALL, LiFTConfig(feature_dim=5, width=9, layers=1, heads=3)])
def test_the_model_equals_its_equations_written_out(T, grad, config):
    model = random_model(config).double()
    parameters = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    x = random_sequences(2, T, config.feature_dim).astype(np.float64)
    with torch.set_grad_enabled(grad):
        ours = [part.detach().numpy() for part in model(torch.from_numpy(x))]
    for row in range(2):
        for part, expected in zip(ours, slow_lift(parameters, config, x[row]), strict=True):
            np.testing.assert_allclose(part[row], expected, rtol=0, atol=1e-10)


def test_the_default_model_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = LiFT(LiFTConfig(feature_dim=384))
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_728_320


def test_the_tensors_are_those_of_the_released_checkpoint_but_for_its_table_of_time_codes():
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in LiFT(LiFTConfig()).state_dict().items()}
    layer = {
        "self_attn.in_proj_weight": (1152, 384),
        "self_attn.in_proj_bias": (1152,),
        "self_attn.out_proj.weight": (384, 384),
        "self_attn.out_proj.bias": (384,),
        "linear1.weight": (1536, 384),
        "linear1.bias": (1536,),
        "linear2.weight": (384, 1536),
        "linear2.bias": (384,),
        "norm1.weight": (384,),
        "norm1.bias": (384,),
        "norm2.weight": (384,),
        "norm2.bias": (384,),
    }
    released = {"encoder.cls_static": (1, 1, 384), "encoder.cls_dynamic": (1, 1, 384)}
    released |= {f"encoder.transformer.layers.{i}.{key}": shape for i in range(4) for key, shape in layer.items()}
    for name in ("input_proj", "static_proj", "dynamic_proj"):
        released |= {f"encoder.{name}.weight": (384, 384), f"encoder.{name}.bias": (384,)}
    for name in ("static_norm", "dynamic_norm"):
        released |= {f"encoder.{name}.weight": (384,), f"encoder.{name}.bias": (384,)}
    for number, shape in {0: (768, 384), 1: (768,), 3: (768, 768), 4: (768,), 6: (384, 768)}.items():
        released |= {f"decoder.model.{number}.weight": shape, f"decoder.model.{number}.bias": shape[:1]}
    assert shapes == released


def test_the_walk_starts_at_the_static_vector_and_covers_one_velocity():
    z_s, z_d = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -8.0]])
    torch.testing.assert_close(walk(z_s, z_d, 2), torch.tensor([[[1.0, 2.0], [5.0, -6.0]]]))
    torch.testing.assert_close(walk(z_s, z_d, 5)[0, 1], torch.tensor([2.0, 0.0]))


def test_the_decoder_draws_the_first_frame_from_z_s_and_the_last_from_z_s_plus_z_d():
    model = random_model()
    x_hat, z_s, z_d = model(torch.from_numpy(random_sequences(3, T=7)))
    torch.testing.assert_close(x_hat[:, 0], model.decoder(z_s))
    torch.testing.assert_close(x_hat[:, -1], model.decoder(z_s + z_d))


def test_the_loss_is_worked_out_by_hand():
    x = torch.zeros(2, 2, 2)
    x_hat = torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [2.0, 2.0]]])  # squares 1 + 9 + 4 + 4 over 8 elements
    z_s, z_d = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[-5.0, 0.0], [0.0, 7.0]])  # cosines -0.6 and 1
    loss, reconstruction, orthogonality = lift_loss(x, x_hat, z_s, z_d)
    assert reconstruction.item() == pytest.approx(2.25)
    assert orthogonality.item() == pytest.approx(0.8)
    assert loss.item() == pytest.approx(2.33)


def test_dropout_acts_in_training_only():
    model, x = random_model(), torch.from_numpy(random_sequences(2))
    assert torch.equal(model(x)[0], model(x)[0])
    model.train()
    assert not torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize("shape", [(2, 1, 6), (2, 4, 5), (4, 6), (2, 4, 6, 1), (2, 0, 6)])
def test_a_sequence_of_one_frame_or_of_another_shape_is_refused(shape):
    for call in (random_model(), random_model().encode):
        with pytest.raises(ConfigError, match=r"at least 2 frames, 6 features.*not \("):
            call(torch.zeros(shape))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"width": 100}, "width 100 can't be divided among 8 attention heads"),
        ({"feature_dim": 0}, "feature_dim is 0"),
        ({"layers": 0}, "layers is 0"),
        ({"heads": -8}, "heads is -8"),
        ({"width": 38.4}, "width is 38.4"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": math.nan}, "dropout is nan"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(setting, said):
    with pytest.raises(ConfigError, match=said):
        LiFTConfig(**setting)


# the checkpoint


def test_a_checkpoint_alone_rebuilds_the_model(tmp_path):
    config = LiFTConfig(feature_dim=6, width=12, layers=3, heads=3, dropout=0.25)
    model, x = random_model(config), torch.from_numpy(random_sequences())
    save_lift(model, tmp_path / FILE_NAME, ORIGIN)
    before = torch.get_rng_state()
    for path in (tmp_path, tmp_path / FILE_NAME, str(tmp_path)):
        again = load_lift(path)
        assert again.config == config and not again.training
        assert all(torch.equal(a, b) for a, b in zip(model(x), again(x), strict=True))
        assert read_origin(path) == ORIGIN
    assert torch.equal(torch.get_rng_state(), before)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_equal_models_are_saved_as_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_lift(random_model(), tmp_path / name, dict(sorted(ORIGIN.items(), reverse=name == "b")))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_save_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    def full_disk(tensors, metadata):
        raise OSError("no space left")

    (tmp_path / "a").write_text("older")
    monkeypatch.setattr(checkpoint, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_lift(random_model(), tmp_path / "a", ORIGIN)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "older")]


KEY = "encoder.transformer.layers.1.linear2.bias"


def drop(tensors):
    del tensors[KEY]


def add(tensors):
    tensors["encoder.pos_encoder.pe"] = torch.zeros(1, 5000, 8)


def reshape(tensors):
    tensors[KEY] = torch.zeros(8, 1)


def halve(tensors):
    tensors[KEY] = tensors[KEY].half()


def spoil(tensors):
    tensors[KEY][3] = math.nan


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop, f"lacks tensor '{KEY}'"),
        (add, "has tensor 'encoder.pos_encoder.pe', which LiFT does not"),
        (reshape, rf"tensor '{KEY}' is \(8, 1\); the model needs \(8,\)"),
        (halve, f"tensor '{KEY}' is torch.float16; it should be torch.float32"),
        (spoil, f"tensor '{KEY}' holds a number that is not finite"),
    ],
)
def test_a_checkpoint_with_a_wrong_tensor_is_refused_by_file_and_key(tmp_path, damage, said):
    path = tmp_path / FILE_NAME
    save_lift(random_model(), path, ORIGIN)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    damage(tensors)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(EncoderError, match=said) as refusal:
        load_lift(tmp_path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "no LiFT checkpoint"),
        ({"format": "pt"}, "no LiFT checkpoint"),
        ({"lift": "{"}, "no LiFT checkpoint"),
        ({"lift": "[" * 100_000}, "no LiFT checkpoint"),
        ({"lift": "[]"}, "no LiFT checkpoint"),
        ({"lift": '{"config": {}}'}, "no LiFT checkpoint"),
        ({"lift": '{"config": {"depth": 4}, "origin": {}}'}, "no usable LiFT config.*depth"),
        ({"lift": '{"config": {"width": "384"}, "origin": {}}'}, "no usable LiFT config.*width is '384'"),
        ({"lift": '{"config": {"width": 9, "heads": 2}, "origin": {}}'}, "no usable LiFT config.*9.*2"),
    ],
)
def test_a_safetensors_file_without_a_usable_config_is_refused(tmp_path, metadata, said):
    save_file(random_model().state_dict(), tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(EncoderError, match=rf"other\.safetensors.*{said}"):
        load_lift(tmp_path / "other.safetensors")


class Trap:
    """Writes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_a_pickled_file_is_refused_and_never_unpickled(tmp_path, write):
    path = tmp_path / FILE_NAME
    write(Trap(tmp_path / "sprung"), path)
    for read in (load_lift, read_origin):
        with pytest.raises(EncoderError, match=r"lift\.safetensors can't be read as safetensors"):
            read(path)
    assert not (tmp_path / "sprung").exists()


def test_a_cut_file_and_a_missing_one_are_refused(tmp_path):
    path = tmp_path / FILE_NAME
    for missing in (tmp_path, path, tmp_path / "nowhere"):
        with pytest.raises(EncoderError, match="there is no LiFT checkpoint .*; `cia train lift` writes one"):
            load_lift(missing)
    save_lift(random_model(), path, ORIGIN)
    for kept in (0, 5, 200, path.stat().st_size - 4):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(EncoderError, match=r"lift\.safetensors can't be read as safetensors"):
            load_lift(path)
        save_lift(random_model(), path, ORIGIN)


# training


def test_a_seed_fixes_the_weights_to_the_bit_and_the_global_random_state_stays(tmp_path):
    sequences, videos = random_sequences(), videos_of(24)
    weights = {}
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        torch.manual_seed(ord(name))
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        train(sequences, videos, tmp_path / name, ORIGIN, LiFTSettings(**{**vars(QUICK), "seed": seed}))
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
    record = train(
        sequences[:200], videos_of(200), tmp_path, ORIGIN, LiFTSettings(epochs=15, batch_size=10, learning_rate=2e-3)
    )
    losses = [epoch["held_out"]["loss"] for epoch in record["epochs"]]
    assert min(losses) < 0.6 * losses[0]
    accuracy = {}
    for name, summarise in {"lift": lambda x: Lift(tmp_path)(x, []), "mean": lambda x: x.mean(axis=1)}.items():
        probe = RidgeProbe().fit(summarise(sequences[:200]), labels[:200])
        accuracy[name] = (probe.predict(summarise(sequences[200:])) == labels[200:]).mean()
    assert accuracy["mean"] < 0.65 and accuracy["lift"] > 0.95


def test_one_step_is_adams_with_the_weight_decay_in_the_gradient():
    model = random_model(LiFTConfig(feature_dim=6, width=8, layers=1, heads=2, dropout=0.0))
    x = torch.from_numpy(random_sequences(4))
    lift_loss(x, *model(x))[0].backward()
    # Adam's first step is the learning rate times gradient / (|gradient| + 1e-8)
    expected = {}
    for key, parameter in model.named_parameters():
        gradient = parameter.grad + 0.5 * parameter.detach()
        expected[key] = parameter.detach() - 0.01 * gradient / (gradient.abs() + 1e-8)
    settings = LiFTSettings(epochs=1, batch_size=4, learning_rate=0.01, weight_decay=0.5)
    _fit(model, x, x, settings, silent)
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[key], rtol=0, atol=1e-5)


def test_every_epoch_trains_with_dropout_and_judges_without():
    model, x, modes = random_model(), torch.from_numpy(random_sequences(4)), []
    model.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    _fit(model, x, x, LiFTSettings(epochs=3, batch_size=4), silent)
    assert modes == [True, False] * 3


def test_a_model_trained_on_standardised_features_takes_and_draws_them_as_they_are(tmp_path):
    videos, settings = videos_of(24), LiFTSettings(**{**vars(QUICK), "standardise": True})
    held_out = held_out_clips(videos, settings.held_out, settings.seed)
    raw = 5 + 0.01 * random_sequences()
    mean = raw[~held_out].astype(np.float64).mean(axis=(0, 1))
    scale = np.sqrt(((raw[~held_out] - mean) ** 2).mean())
    standard = ((raw - mean) / scale).astype(np.float32)
    record = train(raw, videos, tmp_path / "raw", ORIGIN, settings)
    train(standard, videos, tmp_path / "standard", ORIGIN, QUICK)
    with torch.no_grad():
        x_hat, *codes = load_lift(tmp_path / "raw")(torch.from_numpy(raw))
        x_hat_standard, *codes_standard = load_lift(tmp_path / "standard")(torch.from_numpy(standard))
    np.testing.assert_allclose(x_hat, mean + scale * x_hat_standard.double().numpy(), rtol=0, atol=1e-4)
    for ours, theirs in zip(codes, codes_standard, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)
    assert record["epochs"][0]["held_out"]["loss"] > 0.5  # in units of standardised features


def test_constant_features_can_be_standardised(tmp_path):
    settings = LiFTSettings(**{**vars(QUICK), "standardise": True})
    train(np.ones((24, 4, 6), np.float32), videos_of(24), tmp_path, ORIGIN, settings)
    assert load_lift(tmp_path).config.width == 8


def test_the_learning_rate_halves_after_more_than_five_epochs_without_a_better_held_out_loss(tmp_path):
    settings = LiFTSettings(width=8, epochs=25, batch_size=8, learning_rate=0.03)
    epochs = train(random_sequences(), videos_of(24), tmp_path, ORIGIN, settings)["epochs"]
    rate, best, bad = 0.03, math.inf, 0
    for epoch in epochs:
        assert epoch["learning_rate"] == pytest.approx(rate)
        better = epoch["held_out"]["loss"] < best * (1 - 1e-4)
        best, bad = (epoch["held_out"]["loss"], 0) if better else (best, bad + 1)
        if bad > 5:
            rate, bad = rate / 2, 0
    assert rate < 0.03


def test_the_kept_weights_are_those_with_the_best_held_out_loss(tmp_path):
    sequences, videos = random_sequences(40), videos_of(40)
    settings = LiFTSettings(width=8, epochs=12, batch_size=3, learning_rate=0.02, seed=5)  # 4 held out: 3 and 1
    record = train(sequences, videos, tmp_path, ORIGIN, settings)
    losses = [epoch["held_out"]["loss"] for epoch in record["epochs"]]
    assert losses[record["best_epoch"] - 1] == min(losses) < losses[-1]
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
    settings = LiFTSettings(**{**vars(QUICK), "epochs": 1})
    sequences, videos = random_sequences(), videos_of(24)
    held_out = held_out_clips(videos, settings.held_out, settings.seed)
    weights = {}
    for name, changed in {"as is": [], "held out": held_out, "trained on": np.flatnonzero(~held_out)[:1]}.items():
        x = sequences.copy()
        x[changed] += 1
        record = train(x, videos, tmp_path / name, ORIGIN, settings)
        weights[name] = (tmp_path / name / FILE_NAME).read_bytes()
    assert weights["as is"] == weights["held out"] != weights["trained on"]
    assert record["clips"] == {"train": 18, "held_out": 6}


def test_the_record_says_what_was_trained_how_and_how_it_went(tmp_path):
    out = tmp_path / "new" / "lift"
    shown = []

    class Bar:
        def __init__(self, *label):
            shown.append(label)

        def __enter__(self):
            return shown.append

        def __exit__(self, *error):
            pass

    record = train(random_sequences().astype(np.float16), videos_of(24), out, ORIGIN, QUICK, progress=Bar)
    assert json.loads((out / "training.json").read_text()) == record
    assert sorted(path.name for path in out.iterdir()) == [FILE_NAME, "training.json"]
    assert record["settings"] == vars(QUICK) and record["origin"] == ORIGIN == read_origin(out)
    assert record["config"]["feature_dim"] == 6 and record["config"]["width"] == 8
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    for part in ("train", "held_out"):
        terms = record["epochs"][0][part]
        assert terms["loss"] == pytest.approx(terms["reconstruction"] + 0.1 * terms["orthogonality"])
    assert shown == [("train lift", 2, "epochs"), 1, 1]


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
        (random_sequences(), videos_of(22), "24 sequences but the videos of 22 clips"),
        (random_sequences(), ["v"] * 24, "24 clips of 1 video can't"),
        (random_sequences(0), [], "0 clips of 0 video can't"),
        (with_a_nan(), videos_of(24), "sequence 5, of video v002, holds a number that is not finite"),
        (random_sequences() * 1e30, videos_of(24), "loss is not finite at epoch 1, step 1;"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_and_nothing_is_written(tmp_path, sequences, videos, said):
    with pytest.raises(TrainingError, match=said):
        train(np.asarray(sequences, sequences.dtype), videos, tmp_path / "out", ORIGIN, QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_breaks_later_is_refused_with_its_epoch_and_step(tmp_path):
    sequences, videos = random_sequences(), videos_of(24)
    held_out = held_out_clips(videos, QUICK.held_out, QUICK.seed)
    sequences[held_out] *= 1e30
    with pytest.raises(TrainingError, match="not finite at epoch 1, held-out batch 1;"):
        train(sequences, videos, tmp_path / "out", ORIGIN, QUICK)
    sequences = random_sequences()
    sequences[np.flatnonzero(~held_out)[4]] *= 1e30
    order = torch.randperm(18, generator=torch.Generator().manual_seed(QUICK.seed)).tolist()
    with pytest.raises(TrainingError, match=f"not finite at epoch 1, step {order.index(4) // QUICK.batch_size + 1};"):
        train(sequences, videos, tmp_path / "out", ORIGIN, QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_another_training_is_left_alone(tmp_path):
    sequences, videos = random_sequences(), videos_of(24)
    train(sequences, videos, tmp_path, ORIGIN, QUICK)
    before = (tmp_path / FILE_NAME).read_bytes()
    others = [
        ({"encoder": "another"}, QUICK),
        (ORIGIN, LiFTSettings(**{**vars(QUICK), "epochs": 3})),
    ]
    for origin, settings in others:
        with pytest.raises(TrainingError, match="other settings or another origin; delete it or choose another --out"):
            train(sequences, videos, tmp_path, origin, settings)
    train(sequences, videos, tmp_path, ORIGIN, QUICK)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    (tmp_path / "training.json").write_text("not ours")
    with pytest.raises(TrainingError, match="delete it or choose another --out"):
        train(sequences, videos, tmp_path, ORIGIN, QUICK)
    assert (tmp_path / "training.json").read_text() == "not ours"


# the summary


def test_the_summary_is_the_static_vector_and_the_velocity_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "BATCH_SIZE", 10)
    model, sequences = random_model(), random_sequences(24)
    save_lift(model, tmp_path / FILE_NAME, ORIGIN)
    lift = Lift(tmp_path)
    vectors = lift(sequences, videos_of(24))
    z_s, z_d = model.encode(torch.from_numpy(sequences))
    assert vectors.shape == (24, 16) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :8], z_s.detach(), atol=1e-5)
    np.testing.assert_allclose(vectors[:, 8:], z_d.detach(), atol=1e-5)
    half = lift(sequences.astype(np.float16), videos_of(24))
    assert half.dtype == np.float32 and np.abs(half - vectors).max() < 0.05
    assert lift(sequences[:0], []).shape == (0, 16)


def test_the_summary_knows_its_weights(tmp_path):
    save_lift(random_model(), tmp_path / FILE_NAME, ORIGIN)
    lift = Lift(str(tmp_path / FILE_NAME))
    assert lift.trained_on == ORIGIN
    assert lift.weights_sha256 == hashlib.sha256((tmp_path / FILE_NAME).read_bytes()).hexdigest()
    assert lift.parameters == sum(tensor.numel() for tensor in load_file(tmp_path / FILE_NAME).values())


def test_the_summary_asks_for_weights_and_for_its_own_number_of_features(tmp_path):
    with pytest.raises(ConfigError, match="cia train lift --embeddings STORE --out DIR.*--weights lift=DIR"):
        Lift(None)
    save_lift(random_model(), tmp_path / FILE_NAME, ORIGIN)
    with pytest.raises(EncoderError, match="have 384 features a frame; these weights of lift take 6"):
        Lift(tmp_path)(np.zeros((2, 4, 384), np.float32), ["a", "b"])
