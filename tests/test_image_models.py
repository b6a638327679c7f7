import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, Dinov2WithRegistersModel

from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import FrameSpec, load_encoder
from cia_bench.errors import EncoderError

NAME = "dinov2-small-reg"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "dinov2"
    save_random_dinov2(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the weights that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "dinov2"))


def pictures(B: int = 2, T: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((B, T, 3, 56, 56)).astype(np.float32)


def change_weights(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder: Path | str) -> str:
    """The one line that says why weights are refused."""
    with pytest.raises(EncoderError) as caught:
        load_encoder(NAME, str(folder))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500
    return message


def test_the_cls_vectors_are_those_of_transformers(saved):
    model = Dinov2WithRegistersModel.from_pretrained(saved).eval()
    values = pictures()
    with torch.inference_mode():
        cls = model(pixel_values=torch.from_numpy(values.reshape(6, 3, 56, 56))).last_hidden_state[:, 0]
    encoder = load_encoder(NAME, str(saved))
    vectors = encoder.embed(values)
    assert vectors.shape == (2, 3, 64) and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, cls.reshape(2, 3, 64))
    assert encoder.parameters == sum(tensor.numel() for tensor in load_file(saved / "model.safetensors").values())


def test_a_vector_depends_on_its_own_frame_alone(saved):
    encoder, values = load_encoder(NAME, str(saved)), pictures()
    vectors = encoder.embed(values)
    np.testing.assert_allclose(encoder.embed(values[1:, 2:]), vectors[1:, 2:], atol=1e-5)
    np.testing.assert_allclose(encoder.embed(values[::-1, ::-1].copy()), vectors[::-1, ::-1], atol=1e-5)
    assert np.abs(vectors[0, 0] - vectors[1, 2]).max() > 0.1


def test_embedding_drops_nothing_out(folder):
    change_json(folder / "config.json", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5, drop_path_rate=0.5)
    encoder, values = load_encoder(NAME, str(folder)), pictures()
    np.testing.assert_array_equal(encoder.embed(values), encoder.embed(values))


def test_the_preprocessing_is_read_from_the_folder(folder):
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    wanted = FrameSpec(count=16, size=56, short_side=64, filter="bicubic", layout="TCHW", **imagenet)
    assert load_encoder(NAME, str(folder)).frames == wanted
    path = folder / "preprocessor_config.json"
    change_json(
        path,
        size={"shortest_edge": 80},
        crop_size={"height": 70, "width": 70},
        resample=2,
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.25, 0.5, 0.75],
    )
    own = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.5, 0.75)}
    wanted = FrameSpec(count=16, size=70, short_side=80, filter="bilinear", layout="TCHW", **own)
    assert load_encoder(NAME, str(folder)).frames == wanted
    config = json.loads(path.read_text())
    path.write_text(json.dumps({name: config[name] for name in ("size", "crop_size", "resample")}))
    assert load_encoder(NAME, str(folder)).frames.mean == imagenet["mean"]


def test_the_digest_changes_with_a_weight_and_with_the_architecture(folder):
    digest = load_encoder(NAME, str(folder)).weights_sha256
    assert load_encoder(NAME, str(folder)).weights_sha256 == digest
    other = folder.with_name("renamed")
    shutil.copytree(folder, other)
    assert load_encoder(NAME, str(other)).weights_sha256 == digest
    change_weights(other, lambda tensors: tensors["layernorm.bias"].__setitem__(3, 0.5))
    changed = load_encoder(NAME, str(other)).weights_sha256
    vectors = load_encoder(NAME, str(folder)).embed(pictures())
    change_json(folder / "config.json", num_attention_heads=2)  # the same tensors, and other numbers
    heads = load_encoder(NAME, str(folder))
    assert np.abs(heads.embed(pictures()) - vectors).max() > 0.01
    assert len({digest, changed, heads.weights_sha256}) == 3


def test_the_random_weights_are_the_same_each_time(saved, tmp_path):
    state = torch.get_rng_state()
    save_random_dinov2(tmp_path / "again")
    save_random_dinov2(tmp_path / "other", seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    files = [folder / "model.safetensors" for folder in (saved, tmp_path / "again", tmp_path / "other")]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


# what is refused


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    for place in (tmp_path / "none", "./none", "../a", "none", "~/none", "a/b/c"):
        assert refusal(place) == f"weights folder {place} does not exist"


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (Dinov2Model, Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28)),
        (
            CLIPVisionModel,
            CLIPVisionConfig(
                hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32
            ),
        ),
    ],
)
def test_a_folder_of_another_architecture_is_refused(model_class, config, saved, tmp_path):
    model_class(config).save_pretrained(tmp_path)
    shutil.copy(saved / "preprocessor_config.json", tmp_path)
    message = refusal(tmp_path)
    assert message == f"{tmp_path} holds a model of type {config.model_type!r}, not 'dinov2_with_registers'"


def test_weights_under_a_wrong_label_are_refused_all_the_same(saved, tmp_path):
    config = Dinov2Config(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=56, patch_size=14)
    Dinov2Model(config).save_pretrained(tmp_path)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(saved / name, tmp_path)
    assert refusal(tmp_path) == f"{tmp_path}: 1 missing tensors, the first embeddings.register_tokens"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("layernorm.weight"), "1 missing tensors, the first layernorm.weight"),
        (
            lambda tensors: [tensors.pop(f"encoder.layer.1.norm{n}.bias") for n in (1, 2)],
            "2 missing tensors, the first encoder.layer.1.norm1.bias",
        ),
        (
            lambda tensors: tensors.update({"head.weight": torch.zeros(3, 64)}),
            "1 unexpected tensors, the first head.weight",
        ),
        (
            lambda tensors: tensors.update({"layernorm.weight": torch.ones(63)}),
            "1 mismatched tensors, the first layernorm.weight",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, message, folder):
    change_weights(folder, change)
    assert refusal(folder) == f"{folder}: {message}"


def test_a_folder_without_safetensors_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"weights folder {folder} holds no .safetensors file"
    torch.save(tensors, folder / "pytorch_model.bin")  # a pickle
    assert refusal(folder) == f"weights folder {folder} holds no .safetensors file"


def test_damaged_safetensors_are_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-5000], whole[:40], b"", b"weights " * 1000, b"\x08" + bytes(7) + b'{"a": 1}'):
        path.write_bytes(damaged)
        assert refusal(folder).startswith(f"{folder} can't be loaded: ")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3"])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_folder_without_a_readable_config_is_refused(name, content, folder):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    problem = "can't be read: it is not a JSON object" if content in ("[]", "3") else "can't be read: "
    assert refusal(folder).startswith(f"{folder / name} {problem}")


def test_a_config_that_makes_no_model_is_refused(folder):
    for changes, message in (
        ({"num_attention_heads": "two"}, f"{folder} can't be loaded: "),
        ({"hidden_size": -64}, f"{folder} can't be loaded: "),
        ({"hidden_size": 32}, f"{folder}: "),
        ({"num_hidden_layers": 1}, f"{folder} can't be loaded: "),
    ):
        original = (folder / "config.json").read_text()
        change_json(folder / "config.json", **changes)
        assert refusal(folder).startswith(message)
        (folder / "config.json").write_text(original)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 56}, "does not tell how to resize and crop"),
        ({"crop_size": {"height": 56, "width": 28}}, "asks for pictures of 56 x 28 pixels, not square ones"),
        ({"crop_size": {"height": 80, "width": 80}}, "a square of 80 pixels can't be cut from a short side of 64"),
        ({"crop_size": {"height": 56.5, "width": 56.5}}, "whole numbers above 0"),
        ({"size": {"height": 64, "width": 64}}, "does not tell how to resize and crop: KeyError 'shortest_edge'"),
        ({"resample": 1}, "does not tell how to resize and crop: KeyError 1"),
        ({"resample": [3]}, "does not tell how to resize and crop: TypeError"),
        ({"image_mean": None}, "does not tell how to resize and crop: TypeError"),
        ({"image_mean": [0.5, 0.5]}, "three numbers"),
        ({"image_std": [0.5, 0.5, 0]}, "std above 0"),
        ({"image_std": ["a", "b", "c"]}, "does not tell how to resize and crop: TypeError"),
        ({"do_normalize": False}, "leaves out do_normalize, which this encoder does"),
        (
            {"do_resize": False, "do_center_crop": False},
            "leaves out do_resize, do_center_crop, which this encoder does",
        ),
    ],
)
def test_preprocessing_that_we_would_not_follow_is_refused(changes, message, folder):
    path = folder / "preprocessor_config.json"
    change_json(path, **changes)
    refused = refusal(folder)
    assert refused.startswith(str(path)) and message in refused


LOAD = """
import sys
from cia_bench.encoders import load_encoder
from cia_bench.errors import CiaError
for place in [*sys.argv[1:], None]:
    try:
        print(load_encoder("dinov2-small-reg", place).parameters)
    except CiaError as error:
        print(error)
"""


def test_loading_prints_nothing_and_without_network_a_hub_id_is_one_line(saved, folder):
    change_weights(folder, lambda tensors: tensors.update({"layernorm.weight": torch.ones(63)}))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", LOAD, saved, folder, "me/mine"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.stderr == ""  # no bar, report or warning of transformers
    parameters, refused, mine, default = run.stdout.splitlines()
    assert parameters == "139520"
    assert refused == f"{folder}: 1 mismatched tensors, the first layernorm.weight"
    assert mine.startswith("can't get the weights me/mine from the hub: ")
    assert default.startswith("can't get the weights facebook/dinov2-with-registers-small from the hub: ")
    assert mine.endswith("; give a folder that holds them, --weights MODEL=DIR")
