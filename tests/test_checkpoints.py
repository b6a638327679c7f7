"""Loading weights from a folder: the files and their forms, and the proof that each tensor is the file's."""

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
from tiny_models import save_tiny
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersModel,
    VideoMAEModel,
)

from cia_bench.baselines.checkpoints import prove
from cia_bench.baselines.image_models import Dinov2SmallReg
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


def pictures(B: int = 2, T: int = 3, side: int = 56) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((B, T, 3, side, side)).astype(np.float32)


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
            "2 missing tensors, the first layers.1.norm1.bias",
        ),
        (
            lambda tensors: tensors.update({"head.weight": torch.zeros(3, 64)}),
            "1 unexpected tensors, the first head.weight",
        ),
        (
            lambda tensors: tensors.update({"layernorm.weight": torch.ones(63)}),
            "tensor layernorm.weight is (63,); the model needs (64,)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, message, folder):
    change_weights(folder, change)
    assert refusal(folder) == f"{folder}: {message}"


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"weights folder {folder} holds no model.safetensors or pytorch_model.bin"


def test_damaged_safetensors_are_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-5000], whole[:40], b"", b"weights " * 1000, b"\x08" + bytes(7) + b'{"a": 1}'):
        path.write_bytes(damaged)
        assert refusal(folder).startswith(f"{path} can't be read as safetensors: ")


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
        ({"num_attention_heads": "two"}, f"{folder / 'config.json'} makes no model: "),
        ({"hidden_size": -64}, f"{folder} can't be loaded: "),
        ({"hidden_size": 32}, f"{folder}: "),
        ({"num_hidden_layers": 1}, f"{folder / 'config.json'} makes no model: "),
    ):
        original = (folder / "config.json").read_text()
        change_json(folder / "config.json", **changes)
        assert refusal(folder).startswith(message)
        (folder / "config.json").write_text(original)


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
    assert refused == f"{folder}: tensor layernorm.weight is (63,); the model needs (64,)"
    assert mine.startswith("can't get the weights me/mine from the hub: ")
    assert default.startswith("can't get the weights facebook/dinov2-with-registers-small from the hub: ")
    page = "https://huggingface.co/{}/tree/{} into a folder, and give --weights MODEL=DIR"
    assert mine.endswith(page.format("me/mine", "main"))
    card = Dinov2SmallReg.card
    assert default.endswith(page.format(card.hub_id, card.revision))


BY_NAME = """
import numpy as np
from cia_bench.encoders import load_encoder
frames = np.random.default_rng(0).standard_normal((2, 3, 3, 56, 56)).astype(np.float32)
np.save("vectors.npy", load_encoder("dinov2-small-reg").embed(frames))
"""


def test_offline_a_name_loads_what_the_hubs_cache_has_of_its_revision(saved, folder, tmp_path):
    as_torch_zip(folder)
    card = Dinov2SmallReg.card
    place = tmp_path / "cache" / f"models--{card.hub_id.replace('/', '--')}" / "snapshots" / card.revision
    shutil.copytree(folder, place)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", BY_NAME], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), load_encoder(NAME, str(saved)).embed(pictures()))


# files in other forms


def as_torch_zip(folder: Path) -> dict[str, torch.Tensor]:
    """Turn the folder's safetensors into the pickle that older pages of the hub hold."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    return tensors


def in_shards(folder: Path, kind: str = "safetensors") -> list[Path]:
    """Cut the folder's weights in three files with an index, as the hub does; return the files."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, save = ("model", save_file) if kind == "safetensors" else ("pytorch_model", torch.save)
    names, files, weight_map = sorted(tensors), [], {}
    for number in range(3):
        part = {name: tensors[name] for name in names[number::3]}
        files.append(folder / f"{stem}-{number + 1:05}-of-00003.{kind}")
        save(part, files[-1])
        weight_map |= dict.fromkeys(part, files[-1].name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    return files


def test_a_pickle_of_torch_gives_the_same_numbers_as_safetensors(saved, folder):
    as_torch_zip(folder)
    np.testing.assert_array_equal(
        load_encoder(NAME, str(folder)).embed(pictures()), load_encoder(NAME, str(saved)).embed(pictures())
    )


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_shards_give_the_same_numbers_and_a_missing_one_is_named(kind, saved, folder):
    files = in_shards(folder, kind)
    np.testing.assert_array_equal(
        load_encoder(NAME, str(folder)).embed(pictures()), load_encoder(NAME, str(saved)).embed(pictures())
    )
    index = files[0].name.replace("-00001-of-00003", "") + ".index.json"
    files[1].rename(files[1].with_suffix(".part"))
    assert refusal(folder) == f"{folder} lacks {files[1].name}, which {index} names; download it too"
    files[1].with_suffix(".part").rename(files[1])
    shutil.copy(files[0], files[1])
    assert "twice" in refusal(folder)
    change_json(folder / index, weight_map={"layernorm.bias": "../model.safetensors"})
    assert refusal(folder) == f"{folder / index} names '../model.safetensors', which is no file beside it"
    for wrong in ([], {"layernorm.bias": 3}):
        change_json(folder / index, weight_map=wrong)
        assert refusal(folder) == f"{folder / index} has no weight_map of tensors and files"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_loaded_as_float32_of_the_same_numbers(dtype, saved, folder):
    rounded = {name: tensor.half().bfloat16() for name, tensor in load_file(saved / "model.safetensors").items()}
    vectors = []
    for kind in (torch.float32, dtype):
        change_weights(
            folder, lambda tensors, kind=kind: tensors.update({k: v.bfloat16().to(kind) for k, v in rounded.items()})
        )
        encoder = load_encoder(NAME, str(folder))
        assert all(tensor.dtype == torch.float32 for tensor in encoder.model.parameters())
        vectors.append(encoder.embed(pictures()))
    np.testing.assert_array_equal(*vectors)


def test_a_pickle_is_never_run(folder):
    tensors, ran = as_torch_zip(folder), folder / "ran"

    class Trap:
        def __reduce__(self):
            return Path.touch, (ran,)

    path = folder / "pytorch_model.bin"
    torch.save({**tensors, "layernorm.trap": Trap()}, path)
    assert refusal(folder) == f"{path} is not a dict of tensors alone: 'layernorm.trap'"
    torch.save([tensors], path)
    assert refusal(folder) == f"{path} is not a dict of tensors alone: it has none"
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert refusal(folder) == f"{path} is no zip of torch, whose pickle would have to be run; take safetensors"
    torch.save({**tensors, "layernorm.bias": torch.zeros(64, dtype=torch.int32)}, path)
    assert "tensor 'layernorm.bias' is of torch IntStorage" in refusal(folder)
    torch.save({**tensors, "layernorm.bias": torch.zeros(64, dtype=torch.int64)}, path)
    assert refusal(folder) == f"{folder}: tensor layernorm.bias is torch.int64; the model needs torch.float32"
    assert not ran.exists()


@pytest.mark.parametrize("name", ["clip-b16", "clip-b16-projected"])
def test_an_old_clip_with_its_places_in_a_pickle_is_loaded(name, tmp_path):
    tensors = load_file(save_tiny("clip", tmp_path) / "model.safetensors")
    vectors = load_encoder(name, str(tmp_path)).embed(pictures(side=32))
    config = json.loads((tmp_path / "config.json").read_text())
    change_json(tmp_path / "config.json", vision_config={**config["vision_config"], "num_beams": 1, "pruned_heads": {}})
    places = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    save_file({**tensors, **places}, tmp_path / "model.safetensors")
    as_torch_zip(tmp_path)
    np.testing.assert_array_equal(load_encoder(name, str(tmp_path)).embed(pictures(side=32)), vectors)
    wrong = {name: places[name].flip(1) for name in places}
    torch.save({**tensors, **wrong}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        EncoderError, match="tensor vision_model.embeddings.position_ids is not what the model computes"
    ):
        load_encoder(name, str(tmp_path))


# the proof


HUB_LAYER = {  # of VideoMAE-base's page: queries and values have a bias under a name of its own, keys have none
    "attention.attention.q_bias": (32,),
    "attention.attention.v_bias": (32,),
    "attention.attention.query.weight": (32, 32),
    "attention.attention.key.weight": (32, 32),
    "attention.attention.value.weight": (32, 32),
    "attention.output.dense.weight": (32, 32),
    "attention.output.dense.bias": (32,),
    "intermediate.dense.weight": (48, 32),
    "intermediate.dense.bias": (48,),
    "output.dense.weight": (32, 48),
    "output.dense.bias": (32,),
    "layernorm_before.weight": (32,),
    "layernorm_before.bias": (32,),
    "layernorm_after.weight": (32,),
    "layernorm_after.bias": (32,),
}


@pytest.fixture
def old_videomae(tmp_path) -> Path:
    """A checkpoint as VideoMAE-base's page holds it, written by hand, tensor by tensor."""
    shapes = {
        "videomae.embeddings.patch_embeddings.projection.weight": (32, 3, 2, 16, 16),
        "videomae.embeddings.patch_embeddings.projection.bias": (32,),
        "videomae.layernorm.weight": (32,),
        "videomae.layernorm.bias": (32,),
        "encoder_to_decoder.weight": (16, 32),
        "mask_token": (1, 1, 16),
        "decoder.norm.weight": (16,),
        "decoder.norm.bias": (16,),
        "decoder.head.weight": (1536, 16),
        "decoder.head.bias": (1536,),
    }
    for layer in range(2):
        shapes |= {f"videomae.encoder.layer.{layer}.{name}": shape for name, shape in HUB_LAYER.items()}
    draw = torch.Generator().manual_seed(0)
    save_file(
        {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}, tmp_path / "model.safetensors"
    )
    config = {
        "model_type": "videomae",
        "architectures": ["VideoMAEForPreTraining"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "image_size": 32,
        "num_frames": 4,
        "qkv_bias": True,
        "use_mean_pooling": False,
        "torch_dtype": "float32",
        "transformers_version": "4.22.0.dev0",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    square = {"size": 32, "crop_size": 32, "do_center_crop": True, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**square, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    return tmp_path


def test_videomaes_biases_of_queries_and_values_are_loaded_from_the_hubs_old_names(old_videomae):
    tensors = load_file(old_videomae / "model.safetensors")
    model = load_encoder("videomae-base", str(old_videomae)).model
    for layer in range(2):
        attention = model.encoder.layer[layer].attention.attention
        place = f"videomae.encoder.layer.{layer}.attention.attention."
        assert torch.equal(attention.query.bias, tensors[place + "q_bias"])
        assert torch.equal(attention.value.bias, tensors[place + "v_bias"])
        assert torch.equal(attention.key.weight, tensors[place + "key.weight"]) and attention.key.bias is None


def test_a_transformers_that_fills_these_biases_with_zeros_is_refused(old_videomae, monkeypatch):
    from transformers import modeling_utils

    monkeypatch.setattr(modeling_utils, "get_model_conversion_mapping", lambda *given, **more: [])  # as before its fix
    with pytest.raises(EncoderError) as caught:
        load_encoder("videomae-base", str(old_videomae))
    assert str(caught.value).startswith(
        f"{old_videomae}: transformers did not load tensor videomae.encoder.layer.0.attention"
    )


def test_the_proof_finds_one_number_that_is_not_the_files(folder):
    model = load_encoder(NAME, str(folder)).model
    tensors = load_file(folder / "model.safetensors")
    prove(model, tensors, folder)
    query, key = (f"encoder.layer.0.attention.{part}_proj.weight" for part in ("q", "k"))
    for name in ("encoder.layer.1.mlp.fc2.weight", "encoder.layer.0.attention.v_proj.bias", "embeddings.cls_token"):
        changed = {**tensors, name: tensors[name].clone()}
        changed[name].view(-1)[-1] = torch.nextafter(changed[name].view(-1)[-1], torch.tensor(9.0))
        with pytest.raises(EncoderError, match=f"transformers did not load tensor {name} as it is"):
            prove(model, changed, folder)
    with pytest.raises(EncoderError, match="transformers did not load tensor encoder.layer.0.attention"):
        prove(model, {**tensors, query: tensors[key], key: tensors[query]}, folder)


def test_tables_that_a_model_computes_are_those_of_a_model_that_was_never_loaded(old_videomae, monkeypatch):
    load_encoder("videomae-base", str(old_videomae))
    real = VideoMAEModel.from_pretrained

    def zeroed(*given, **more):
        model = real(*given, **more)
        model.embeddings.position_embeddings = torch.zeros_like(model.embeddings.position_embeddings)
        return model

    monkeypatch.setattr(VideoMAEModel, "from_pretrained", zeroed)
    with pytest.raises(EncoderError, match="transformers did not compute embeddings.position_embeddings as it should"):
        load_encoder("videomae-base", str(old_videomae))


def test_a_transformers_without_the_class_says_so(monkeypatch):
    monkeypatch.setattr(Dinov2SmallReg, "model_class", "Dinov9Model")
    with pytest.raises(EncoderError, match=r"transformers 5\.\S+ has no Dinov9Model; install a newer one"):
        load_encoder(NAME)
