import hashlib
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cia_bench.baselines.lift import LiFT, LiFTConfig, checkpoint, load_lift, summary
from cia_bench.baselines.lift.checkpoint import FILE_NAME, load_with_origin, save_lift
from cia_bench.baselines.lift.model import lift_loss, walk
from cia_bench.baselines.lift.summary import Lift
from cia_bench.errors import ConfigError, EncoderError

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = LiFTConfig(feature_dim=6, width=8, layers=2, heads=2)
ORIGIN = {"encoder": "made up", "frames": 4}


def random_model(config: LiFTConfig = SMALL) -> LiFT:
    """A model in evaluation mode whose every parameter is random, biases and norms too."""
    generator = torch.Generator().manual_seed(3)
    model = LiFT(config)
    for parameter in model.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def random_sequences(N: int = 24, T: int = 4, D: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, T, D)).astype(np.float32)


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
        assert load_with_origin(path)[1] == ORIGIN
    assert torch.equal(torch.get_rng_state(), before)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


ALIGNED = 64  # bytes; products of matrices that lie otherwise may end in other digits on some CPUs


def test_where_weights_and_sequences_lie_in_memory_does_not_hang_on_where_they_come_from(tmp_path):
    odd = np.frombuffer(b"...." + random_sequences().tobytes(), np.float32, offset=4).reshape(24, 4, 6)
    seen, lengths = [], range(0, ALIGNED, 8)
    for length in lengths:  # of a file's header, after which its numbers begin
        save_lift(random_model(), tmp_path / FILE_NAME, {"encoder": "e" * length})
        lift = Lift(tmp_path)
        assert {parameter.data_ptr() % ALIGNED for parameter in lift.model.parameters()} == {0}
        encode = lift.model.encode
        lift.model.encode = lambda x, encode=encode: seen.append(x.data_ptr() % ALIGNED) or encode(x)
        assert (lift(odd, []) == Lift(tmp_path)(random_sequences(), [])).all()
    assert seen == [0 for _ in lengths]


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
        ({"lift": '{"config": {}, "origin": {}, "saw_clips": {"clips": "!"}}'}, "no LiFT checkpoint"),
        ({"lift": '{"config": {}, "origin": {"saw": "kinetics"}}'}, "no LiFT checkpoint"),
        ({"lift": '{"config": {"depth": 4}, "origin": {}}'}, "no usable LiFT config.*depth"),
        ({"lift": '{"config": {"width": "384"}, "origin": {}}'}, "no usable LiFT config.*width is '384'"),
        ({"lift": '{"config": {"width": 9, "heads": 2}, "origin": {}}'}, "no usable LiFT config.*9.*2"),
        ({"lift": f'{{"config": {{"width": {8 * 10**17}}}, "origin": {{}}}}'}, "no usable LiFT config.*overflow"),
        ({"lift": f'{{"config": {{"width": {8 * 10**30}}}, "origin": {{}}}}'}, "no usable LiFT config.*[Oo]verflow"),
        (
            {"lift": '{"config": {"layers": 1000000000}, "origin": {}}'},
            "config: 1000000000 layers can't have 46 tensors",
        ),
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


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (torch.save, "is no LiFT checkpoint: it has no state_dict"),
        (partial(torch.save, _use_new_zipfile_serialization=False), "can't be read as safetensors"),
        (lambda trap, path: path.write_bytes(pickle.dumps(trap)), "can't be read as safetensors"),
    ],
)
def test_a_pickled_file_is_refused_and_never_unpickled(tmp_path, write, said):
    path = tmp_path / FILE_NAME
    write(Trap(tmp_path / "sprung"), path)
    for read in (load_lift, load_with_origin):
        with pytest.raises(EncoderError, match=rf"lift\.safetensors {said}"):
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


# the summary


def test_the_summary_is_the_static_vector_and_the_velocity_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "CPU_BATCH", 10)
    model, sequences = random_model(), random_sequences(24)
    save_lift(model, tmp_path / FILE_NAME, ORIGIN)
    lift = Lift(tmp_path)
    vectors = lift(sequences, list("abcdefghijklmnopqrstuvwx"))
    z_s, z_d = model.encode(torch.from_numpy(sequences))
    assert vectors.shape == (24, 16) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :8], z_s.detach(), atol=1e-5)
    np.testing.assert_allclose(vectors[:, 8:], z_d.detach(), atol=1e-5)
    half = lift(sequences.astype(np.float16), list("abcdefghijklmnopqrstuvwx"))
    assert half.dtype == np.float32 and np.abs(half - vectors).max() < 0.05
    assert lift(sequences[:0], []).shape == (0, 16)


def test_a_summary_is_the_same_by_any_number_of_threads_and_leaves_it(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "CPU_BATCH", 7)
    save_lift(random_model(), tmp_path / FILE_NAME, ORIGIN)
    lift, sequences, before = Lift(tmp_path), random_sequences(50), torch.get_num_threads()
    try:
        vectors = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            vectors.append(lift(sequences, []))
            with ThreadPoolExecutor(1) as new:
                assert torch.get_num_threads() == new.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_half_precision_summarises_nearly_alike(tmp_path, precision, tolerance):
    save_lift(random_model(), tmp_path / FILE_NAME, ORIGIN)
    whole, half = Lift(tmp_path), Lift(tmp_path, precision=precision)
    x = random_sequences(24)
    assert 0 < np.abs(half(x, []) - whole(x, [])).max() < tolerance
    ours, theirs = half.trajectories(x), whole.trajectories(x)
    for name, path in theirs.items():
        assert ours[name].dtype == np.float32
        assert np.abs(ours[name] - path).max() < tolerance * np.abs(path).max()
    with pytest.raises(ConfigError, match="unknown precision 'int8'"):
        Lift(tmp_path, precision="int8")


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
