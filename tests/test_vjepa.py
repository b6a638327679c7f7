"""V-JEPA (1): a released checkpoint, converted, beside a slow plain forward of the released architecture."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refusal, run_cia, snapshot
from safetensors.torch import load_file
from tiny_models import save_tiny
from torch.nn import functional

from cia_bench.baselines.vjepa import convert
from cia_bench.encoders import FrameSpec, load_encoder
from cia_bench.errors import EncoderError
from cia_bench.model_check import check

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTH, HEADS, HIDDEN, LAYERS = 192, 3, 320, 2  # ViT-tiny's width, and fewer layers
SIDE, PATCH, FRAMES = 32, 16, 16
TOKENS = FRAMES // 2 * (SIDE // PATCH) ** 2
NAME = "vitl16.pth.tar"


def sincos_table() -> torch.Tensor:
    """A fixed table of positions in time, height and width, (1, N, W): not VideoMAE's, which counts tokens."""
    T, H, W = np.meshgrid(np.arange(FRAMES // 2), np.arange(SIDE // PATCH), np.arange(SIDE // PATCH), indexing="ij")
    parts = []
    for place in (T, H, W):
        rates = 1 / 10000 ** (np.arange(WIDTH // 6) / (WIDTH / 6))
        angles = place.reshape(-1, 1) * rates
        parts += [np.sin(angles), np.cos(angles)]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()[None]


def encoder_weights(seed: int) -> dict[str, torch.Tensor]:
    """An encoder in the released names, without prefix, key biases and all."""
    draw = torch.Generator().manual_seed(seed)

    def weight(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw) / math.sqrt(math.prod(shape[1:]))

    def bias(size: int) -> torch.Tensor:
        return 0.5 * torch.randn(size, generator=draw)

    state = {
        "pos_embed": sincos_table(),
        "patch_embed.proj.weight": weight(WIDTH, 3, 2, PATCH, PATCH),
        "patch_embed.proj.bias": bias(WIDTH),
    }
    for layer in range(LAYERS):
        block = {
            "norm1.weight": 1 + bias(WIDTH),
            "norm1.bias": bias(WIDTH),
            "attn.qkv.weight": 2 * weight(3 * WIDTH, WIDTH),
            "attn.qkv.bias": 2 * bias(3 * WIDTH),
            "attn.proj.weight": weight(WIDTH, WIDTH),
            "attn.proj.bias": bias(WIDTH),
            "norm2.weight": 1 + bias(WIDTH),
            "norm2.bias": bias(WIDTH),
            "mlp.fc1.weight": weight(HIDDEN, WIDTH),
            "mlp.fc1.bias": bias(HIDDEN),
            "mlp.fc2.weight": weight(WIDTH, HIDDEN),
            "mlp.fc2.bias": bias(WIDTH),
        }
        state |= {f"blocks.{layer}.{name}": tensor for name, tensor in block.items()}
    return {**state, "norm.weight": 1 + bias(WIDTH), "norm.bias": bias(WIDTH)}


def plain_forward(state: dict[str, torch.Tensor], clips: torch.Tensor) -> torch.Tensor:
    """The released encoder, step by step in float64: clips (B, T, 3, S, S) -> the mean of its tokens (B, W)."""
    w = {name: tensor.double() for name, tensor in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-6)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    vectors = []
    for clip in clips.double():
        tokens = []
        for t in range(0, FRAMES, 2):
            for y in range(0, SIDE, PATCH):
                for x in range(0, SIDE, PATCH):
                    tubelet = clip[t : t + 2, :, y : y + PATCH, x : x + PATCH].transpose(0, 1)  # (3, 2, P, P)
                    kernel = w["patch_embed.proj.weight"]
                    tokens.append((kernel * tubelet).sum(dim=(1, 2, 3, 4)) + w["patch_embed.proj.bias"])
        h = torch.stack(tokens) + w["pos_embed"][0]  # (N, W)
        for layer in range(LAYERS):
            block = f"blocks.{layer}."
            qkv = norm(h, block + "norm1") @ w[block + "attn.qkv.weight"].T + w[block + "attn.qkv.bias"]
            heads = []
            for head in range(HEADS):
                part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
                q, k, v = (qkv[:, n * WIDTH : (n + 1) * WIDTH][:, part] for n in range(3))
                scores = q @ k.T / math.sqrt(WIDTH // HEADS)
                heads.append(scores.softmax(dim=1) @ v)
            h = h + torch.cat(heads, dim=1) @ w[block + "attn.proj.weight"].T + w[block + "attn.proj.bias"]
            inner = norm(h, block + "norm2") @ w[block + "mlp.fc1.weight"].T + w[block + "mlp.fc1.bias"]
            gelu = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
            h = h + gelu @ w[block + "mlp.fc2.weight"].T + w[block + "mlp.fc2.bias"]
        vectors.append(norm(h, "norm").mean(dim=0))
    return torch.stack(vectors)


def content(target: dict[str, torch.Tensor]) -> dict:
    """What the released file holds: three networks, the optimiser's state and some numbers."""
    other = {f"module.backbone.{name}": tensor for name, tensor in encoder_weights(9).items()}
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4, 3).t()}
    return {
        "encoder": other,
        "predictor": {"module.backbone.predictor_embed.weight": torch.zeros(4, WIDTH)},
        "opt": {"state": {0: moments}, "param_groups": [{"lr": 1e-4, "params": [0], "betas": (0.9, 0.999)}]},
        "scaler": None,
        "target_encoder": {f"module.backbone.{name}": tensor for name, tensor in target.items()},
        "epoch": 300,
        "loss": 0.3,
        "batch_size": 24,
        "world_size": 128,
        "lr": 1e-6,
    }


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return encoder_weights(0)


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory) -> Path:
    """The converted checkpoint."""
    place = tmp_path_factory.mktemp("vjepa")
    torch.save(content(weights), place / NAME)
    run = run_cia("convert", "vjepa", NAME, "--out", "vjepa-tiny", cwd=place)
    parameters = sum(t.numel() for name, t in weights.items() if name != "pos_embed") - LAYERS * WIDTH  # no key biases
    said = f"vjepa: {parameters:,} parameters in 2 layers, for 16 frames of 32 pixels\nwrote vjepa-tiny\n"
    assert (run.returncode, run.stdout, run.stderr) == (0, said, "")
    return place / "vjepa-tiny"


def clips(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_the_converted_model_is_the_released_architecture(weights, folder):
    encoder = load_encoder("vjepa-large", str(folder))
    got, wanted = torch.from_numpy(encoder.embed(clips().numpy())), plain_forward(weights, clips())
    assert got.shape == (2, WIDTH) and wanted.std() > 0.1
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["pos_embed", "norm.bias", "blocks.1.attn.qkv.weight", "blocks.0.norm1.weight"])
def test_the_comparison_would_show_one_wrong_tensor(name, weights, folder):
    got = load_encoder("vjepa-large", str(folder)).embed(clips().numpy())
    changed = {**weights, name: weights[name].roll(1, dims=-1)}
    assert (torch.from_numpy(got).double() - plain_forward(changed, clips())).abs().max() > 1e-3


def test_a_bias_of_the_keys_changes_nothing(weights):
    without = {name: tensor.clone() for name, tensor in weights.items()}
    for layer in range(LAYERS):
        without[f"blocks.{layer}.attn.qkv.bias"][WIDTH : 2 * WIDTH] = 0
    torch.testing.assert_close(plain_forward(without, clips()), plain_forward(weights, clips()), rtol=0, atol=1e-12)


def test_the_converted_model_keeps_the_contract(folder):
    for name in ("vjepa-large", "vjepa-huge"):
        report = check(name, {name: str(folder)})
        assert all(one.outcome == "ok" for one in report.checks), str(report)


def test_frames_are_as_its_authors_evaluate_it(folder):
    frames = load_encoder("vjepa-large", str(folder)).frames
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert frames == FrameSpec(16, 32, short_side=36, filter="bilinear", layout="TCHW", **imagenet)


def test_converting_twice_gives_the_same_bytes_and_another_file_is_not_written_over(folder, weights, tmp_path):
    before = snapshot(folder)
    convert(folder.parent / NAME, folder)
    assert snapshot(folder) == before
    torch.save(content(encoder_weights(1)), tmp_path / NAME)
    with pytest.raises(EncoderError, match="holds another checkpoint; delete it or choose another --out"):
        convert(tmp_path / NAME, folder)
    assert snapshot(folder) == before
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"somebody's")
    with pytest.raises(EncoderError, match="holds another checkpoint"):  # without a config.json, and not ours
        convert(tmp_path / NAME, tmp_path / "theirs")
    assert snapshot(tmp_path / "theirs") == {"model.safetensors": b"somebody's"}
    record = json.loads((folder / "config.json").read_text())["converted_from"]
    assert record["name"] == NAME and len(record["sha256"]) == 64


def test_half_precision_is_converted_to_the_same_numbers(weights, tmp_path):
    halves = {name: tensor.half() for name, tensor in weights.items()}
    torch.save(content(halves), tmp_path / NAME)
    convert(tmp_path / NAME, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(tensors["embeddings.position_embeddings"], halves["pos_embed"].float())


# what is refused


def test_neither_takes_the_others_checkpoint(folder, tmp_path):
    with pytest.raises(EncoderError, match="tensor embeddings.position_embeddings is not what the model computes"):
        load_encoder("videomae-base", str(folder))
    with pytest.raises(EncoderError, match="lacks tensor 'embeddings.position_embeddings'"):
        load_encoder("vjepa-large", str(save_tiny("videomae", tmp_path)))


def test_without_weights_it_says_what_to_download_and_to_do():
    with pytest.raises(EncoderError) as caught:
        load_encoder("vjepa-huge")
    assert str(caught.value) == (
        "there is no hub page to load from; download https://dl.fbaipublicfiles.com/jepa/vith16/vith16.pth.tar, make a "
        "folder of it with cia convert vjepa vith16.pth.tar --out DIR, and give --weights MODEL=DIR"
    )


def drop(state):
    del state["module.backbone.blocks.1.norm2.bias"]


def add(state):
    state["module.backbone.cls_token"] = torch.zeros(1, 1, WIDTH)


def skip_a_block(state):
    for name in [name for name in state if "blocks.0." in name]:
        state[name.replace("blocks.0.", "blocks.7.")] = state.pop(name)


def spoil(state):
    state["module.backbone.norm.bias"][3] = math.inf


def reshape(state):
    state["module.backbone.blocks.0.attn.proj.weight"] = torch.zeros(WIDTH, WIDTH + 1)


def shorten_the_table(state):
    state["module.backbone.pos_embed"] = torch.zeros(1, TOKENS - 1, WIDTH)


def widen(state):
    state["module.backbone.patch_embed.proj.weight"] = torch.zeros(200, 3, 2, PATCH, PATCH)


def flatten(state):
    state["module.backbone.patch_embed.proj.weight"] = torch.zeros(WIDTH, 3 * 2 * PATCH * PATCH)


def lose_the_table(state):
    del state["module.backbone.pos_embed"]


def lose_the_blocks(state):
    for name in [name for name in state if "blocks" in name]:
        del state[name]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "lacks tensor 'blocks.1.norm2.bias' in target_encoder"),
        (add, "has tensor 'cls_token' in target_encoder"),
        (skip_a_block, "lacks tensor 'blocks.0.mlp.fc1.weight' in target_encoder"),
        (spoil, "tensor 'norm.bias' holds a number that is not finite"),
        (reshape, "tensor 'blocks.0.attn.proj.weight' is (192, 193); its width wants (192, 192)"),
        (shorten_the_table, "has 31 positions, tubelets of 2 frames: not 16 square frames"),
        (widen, "is 200 wide; V-JEPA's encoders are 192, 384, 768, 1024, 1280, 1408, 1664"),
        (flatten, "tensor 'patch_embed.proj.weight' is (192, 1536), not of 5 dimensions"),
        (lose_the_table, "lacks tensor 'pos_embed' in target_encoder"),
        (lose_the_blocks, "lacks tensor 'blocks.0.mlp.fc1.weight' in target_encoder"),
        (dict.clear, "is no V-JEPA checkpoint: it has no target_encoder of names and tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_file_and_tensor(damage, message, weights, tmp_path):
    saved = content({name: tensor.clone() for name, tensor in weights.items()})
    damage(saved["target_encoder"])
    torch.save(saved, tmp_path / NAME)
    with pytest.raises(EncoderError) as caught:
        convert(tmp_path / NAME, tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / NAME}") and message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_another_file_is_refused_and_no_pickle_is_run(tmp_path):
    (tmp_path / "text").write_text("weights")
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return Path.touch, (ran,)

    torch.save({"target_encoder": Trap()}, tmp_path / "trap")
    (tmp_path / "plain").write_bytes(pickle.dumps({"target_encoder": Trap()}))
    no_file = "is no file like the checkpoint that V-JEPA's authors released, a zip of torch"
    no_encoder = "is no V-JEPA checkpoint: it has no target_encoder of names and tensors"
    for name, wanted in {"none": no_file, "text": no_file, "plain": no_file, "trap": no_encoder}.items():
        with pytest.raises(EncoderError) as caught:
            convert(tmp_path / name, tmp_path / "out")
        assert str(caught.value) == f"{tmp_path / name} {wanted}"
    assert refusal("convert", "vjepa", "trap", "--out", "out", cwd=tmp_path) == f"Error: trap {no_encoder}"
    assert not ran.exists() and not (tmp_path / "out").exists()


def test_a_damaged_file_is_refused(weights, tmp_path):
    torch.save(content(weights), tmp_path / NAME)
    whole = (tmp_path / NAME).read_bytes()
    for damaged in (whole[:-3000], whole[: len(whole) // 2], whole[:4]):
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises(EncoderError, match="can't be read as a checkpoint of torch"):
            convert(tmp_path / NAME, tmp_path / "out")
    flipped = bytearray(whole)
    place = whole.index(weights["norm.bias"].numpy().tobytes())
    flipped[place] ^= 1
    (tmp_path / NAME).write_bytes(flipped)
    with pytest.raises(EncoderError, match="Bad CRC-32"):
        convert(tmp_path / NAME, tmp_path / "out")


def test_gelu_is_the_exact_one(weights, folder):
    """The plain forward would not tell the tanh form from the exact one if they were as close as the tolerance."""
    x = torch.linspace(-4, 4, 1001)
    assert (functional.gelu(x) - functional.gelu(x, approximate="tanh")).abs().max() > 1e-4
    assert json.loads((folder / "config.json").read_text())["hidden_act"] == "gelu"
