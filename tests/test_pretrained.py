"""The bundled models of transformers, each loaded from a small random checkpoint in the layout of its hub page."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from test_checkpoints import change_json, change_weights
from tiny_models import TINY, kind_of, save_tiny

from cia_bench.baselines.pretrained import FrameModel, Pretrained, VideoModel
from cia_bench.encoders import ENCODERS, load_encoder, load_summary
from cia_bench.errors import EncoderError
from cia_bench.model_check import TOLERANCE_CPU, check, moving_pictures
from cia_bench.offers import is_here, offers

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = {point.name: point.load() for point in entry_points(group=ENCODERS) if issubclass(point.load(), Pretrained)}
FROM_HUB = [name for name, encoder in CLASSES.items() if encoder.card.hub_id]
ONE_EACH = {  # an encoder of each kind of checkpoint, and of each way to read one
    "dinov2-small": "dinov2",
    "dinov2-giant": "dinov2-giant",
    "dinov2-small-reg": "dinov2-reg",
    "dinov3-s": "dinov3",
    "clip-b16": "clip",
    "clip-b16-projected": "clip",
    "siglip-base": "siglip",
    "internvit-300m": "internvit",
    "videomae-base": "videomae",
    "videomae-base-ssv2": "videomae-labels",
    "vjepa2-large": "vjepa2",
    "videoprism-base": "videoprism",
    "timesformer-k400": "timesformer",
    "vivit-k400": "vivit",
}
VIDEO = [name for name in ONE_EACH if issubclass(CLASSES[name], VideoModel)]
FRAME = [name for name in ONE_EACH if issubclass(CLASSES[name], FrameModel)]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a checkpoint of that kind, which no test may change."""
    place, made = tmp_path_factory.mktemp("tiny"), {}

    def saved(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_tiny(kind, place / kind)
        return made[kind]

    return saved


def clips_for(encoder: Pretrained, count: int | None = None) -> np.ndarray:
    """Two made-up clips as the encoder wants them, (2, T, 3, S, S)."""
    spec = encoder.frames
    squares = [spec.crop(moving_pictures(seed, count or spec.count)) for seed in range(2)]
    return spec.values(np.stack(squares))


@pytest.mark.parametrize("name", ONE_EACH)
def test_each_model_keeps_the_contract(name, tiny):
    report = check(name, {name: str(tiny(ONE_EACH[name]))})
    assert report.passed, str(report)
    assert all(one.outcome == "ok" for one in report.checks), str(report)


# each readout, written with the library's class as its model card would


def pooled(model, x):
    return model(pixel_values=x).pooler_output


def mean_of_tokens(model, x):
    return model(pixel_values=x)[0].mean(dim=1)


def first_token(model, x):
    return model(pixel_values=x)[0][:, 0]


READOUTS = {
    "dinov2-small": ("Dinov2Model", pooled),
    "dinov2-giant": ("Dinov2Model", pooled),
    "dinov2-small-reg": ("Dinov2WithRegistersModel", pooled),
    "dinov3-s": ("DINOv3ViTModel", pooled),
    "clip-b16": ("CLIPVisionModel", pooled),
    "clip-b16-projected": ("CLIPModel", lambda model, x: model.get_image_features(pixel_values=x).pooler_output),
    "siglip-base": ("SiglipModel", lambda model, x: model.get_image_features(pixel_values=x).pooler_output),
    "internvit-300m": (
        "InternVLForConditionalGeneration",
        lambda model, x: model.model.vision_tower(pixel_values=x).last_hidden_state[:, 1:].mean(dim=1),
    ),
    "videomae-base": ("VideoMAEModel", mean_of_tokens),
    "videomae-base-ssv2": ("VideoMAEModel", mean_of_tokens),
    "vjepa2-large": ("VJEPA2Model", lambda model, x: model.get_vision_features(x).mean(dim=1)),
    "videoprism-base": ("VideoPrismVisionModel", lambda model, x: model(pixel_values_videos=x)[0].mean(dim=1)),
    "timesformer-k400": ("TimesformerModel", first_token),
    "vivit-k400": ("VivitModel", first_token),
}


@pytest.mark.parametrize("name", ONE_EACH)
def test_an_embedding_is_what_the_models_own_class_gives(name, tiny):
    folder = tiny(ONE_EACH[name])
    encoder = load_encoder(name, str(folder))
    frames = clips_for(encoder)
    class_name, readout = READOUTS[name]
    model = getattr(transformers, class_name).from_pretrained(folder).eval()
    x = torch.from_numpy(frames)
    with torch.inference_mode():
        wanted = readout(model, x if name in VIDEO else x.flatten(0, 1))
    got = encoder.embed(frames)
    assert got.dtype == np.float32 and got.shape == (2, 32 if name != "vjepa2-large" else 48) or name in FRAME
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)
    assert np.abs(got[0] - got[1]).max() > 1e-3


@pytest.mark.parametrize("name", FROM_HUB)
def test_each_bundled_name_loads_a_checkpoint_of_its_kind_and_knows_where_the_real_one_is(name, tiny):
    encoder, card = load_encoder(name, str(tiny(kind_of(name)))), CLASSES[name].card
    assert type(encoder) is CLASSES[name]
    config = TINY[kind_of(name)].config()
    trained = getattr(config, "frames_per_clip", None) or getattr(config, "num_frames", card.frames)
    assert encoder.frames.count == trained
    assert card.gives == ("frame" if isinstance(encoder, FrameModel) else "clip")
    assert len(card.revision) == 40 and set(card.revision) <= set("0123456789abcdef")
    for word in name.replace("k400", "kinetics").split("-"):  # what a name says of its training, its card says too
        if word in ("ssv2", "kinetics"):
            assert card.saw == {word: "labels"} and card.supervision == "labels"


@pytest.mark.parametrize("name", FRAME)
def test_the_mean_of_frame_vectors_is_blind_to_their_order(name, tiny):
    encoder, mean = load_encoder(name, str(tiny(ONE_EACH[name]))), load_summary("mean")
    frames = clips_for(encoder)
    forwards, backwards = (mean(encoder.embed(one), ["a", "b"]) for one in (frames, frames[:, ::-1].copy()))
    assert np.abs(forwards - backwards).max() <= TOLERANCE_CPU * np.abs(forwards).max()


@pytest.mark.parametrize("name", VIDEO)
def test_a_video_model_reacts_to_the_order_of_frames_and_takes_no_other_number_of_them(name, tiny):
    encoder = load_encoder(name, str(tiny(ONE_EACH[name])))
    frames = clips_for(encoder)
    forwards, backwards = encoder.embed(frames), encoder.embed(frames[:, ::-1].copy())
    assert np.abs(forwards - backwards).max() > 100 * TOLERANCE_CPU * np.abs(forwards).max()
    T = encoder.frames.count
    for count in (T - 2, T - 1, T + 1, T + 2):
        with pytest.raises(EncoderError, match=f"was trained on {T} frames a clip, not {count}"):
            encoder.embed(clips_for(encoder, count))


def test_what_an_embedding_does_not_need_is_not_counted(tiny):
    tensors = load_file(tiny("vjepa2") / "model.safetensors")
    counts = {
        part: sum(t.numel() for name, t in tensors.items() if name.startswith(part)) for part in ("encoder", "pred")
    }
    assert load_encoder("vjepa2-large", str(tiny("vjepa2"))).parameters == counts["encoder"] and counts["pred"] > 1000


@pytest.mark.parametrize("name", ["vjepa2-large", "videomae-base", "vivit-k400"])
def test_an_odd_number_of_frames_whose_last_one_would_be_left_out_is_refused(name, tmp_path):
    folder = save_tiny(ONE_EACH[name], tmp_path)
    change_json(folder / "config.json", **{"frames_per_clip" if "vjepa2" in name else "num_frames": 5})
    with pytest.raises(EncoderError) as caught:
        load_encoder(name, str(folder))
    if name == "vjepa2-large":  # whose weights say nothing of it
        assert str(caught.value) == f"{folder} asks for 5 frames; this model takes 2 at a time, without a rest"


@pytest.mark.parametrize("name", [name for name in ONE_EACH if not name.startswith("dinov")])
def test_a_size_that_the_model_was_not_trained_on_is_refused(name, tmp_path):
    folder, tiny = save_tiny(ONE_EACH[name], tmp_path), TINY[ONE_EACH[name]]
    side = 64
    square = {"height": side, "width": side}
    change_json(folder / tiny.config_file, size=square, crop_size=None, do_center_crop=False)
    trained = 36 if name == "videoprism-base" else 32
    with pytest.raises(EncoderError) as caught:
        load_encoder(name, str(folder))
    wanted = f"{folder} asks for frames of 64 pixels; its model was trained on {trained} x {trained}"
    assert str(caught.value) == wanted


def test_a_dino_takes_any_size_that_its_patches_fill(tmp_path):
    folder = save_tiny("dinov2", tmp_path)
    change_json(folder / "preprocessor_config.json", crop_size={"height": 42, "width": 42}, size={"shortest_edge": 42})
    encoder = load_encoder("dinov2-small", str(folder))
    assert encoder.embed(clips_for(encoder)).shape == (2, 16, 32)
    change_json(folder / "preprocessor_config.json", crop_size={"height": 40, "width": 40})
    with pytest.raises(EncoderError, match="asks for frames of 40 pixels, which patches of 14 don't fill"):
        load_encoder("dinov2-small", str(folder))


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_checkpoint_of_another_kind_is_refused(name, tiny):
    others = {kind for kind in TINY if TINY[kind].config().model_type != TINY[ONE_EACH[name]].config().model_type}
    for kind in others:
        with pytest.raises(EncoderError, match="holds a model of type"):
            load_encoder(name, str(tiny(kind)))


@pytest.mark.parametrize("name", ONE_EACH)
def test_no_tensor_may_be_missing_or_left_over_in_any_layout(name, tmp_path):
    folder = save_tiny(ONE_EACH[name], tmp_path)
    tensors = load_file(folder / "model.safetensors")
    own = [key for key in tensors if not key.startswith(CLASSES[name].left_out or ("no such part",))]
    for key in (own[0], own[len(own) // 2], own[-1]):
        change_weights(folder, lambda changed, key=key: changed.pop(key))
        with pytest.raises(EncoderError, match="1 missing tensors, the first |lacks tensor|can't be loaded"):
            load_encoder(name, str(folder))
        change_weights(folder, lambda changed, key=key: changed.update({key: tensors[key]}))
    change_weights(folder, lambda changed: changed.update({own[0] + ".extra": torch.zeros(2)}))
    with pytest.raises(EncoderError, match="1 unexpected tensors, the first"):
        load_encoder(name, str(folder))


def test_every_entry_point_of_ours_is_listed_with_a_card():
    ours = [offer for offer in offers() if offer.path.startswith("cia_bench.baselines") and offer.kind == "encoder"]
    assert len(ours) == len(CLASSES) + 1 and all(offer.card for offer in ours)


def test_the_weights_of_a_smaller_or_larger_sibling_are_refused(tiny, monkeypatch):
    folder = tiny("dinov2")
    parameters = load_encoder("dinov2-large", str(folder)).parameters  # a size of no sibling: it is one's own business
    base = CLASSES["dinov2-base"]
    monkeypatch.setattr(base, "card", replace(base.card, parameters=parameters))
    with pytest.raises(EncoderError) as caught:
        load_encoder("dinov2-large", str(folder))
    said = f"{folder} holds {parameters:,} parameters, as facebook/dinov2-base does"
    assert str(caught.value) == f"{said}; this name is for facebook/dinov2-large"
    load_encoder("dinov2-base", str(folder))


def cached(root: Path, card, files: dict[str, str]) -> None:
    """Put files into a cache of the hub, at the card's revision."""
    place = root / f"models--{card.hub_id.replace('/', '--')}" / "snapshots" / card.revision
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_text(content)


def test_weights_in_shards_are_here_once_all_of_them_are(tmp_path, monkeypatch):
    card = CLASSES["dinov2-small-reg"].card
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = json.dumps({"weight_map": {"a": shards[0], "b": shards[1], "c": shards[1]}})
    seen = []
    for files in (
        {},
        {"config.json": "{}"},
        {"model.safetensors.index.json": "no JSON"},
        {"model.safetensors.index.json": index},
        {shards[0]: ""},
        {shards[1]: ""},
    ):
        cached(tmp_path, card, files)
        seen.append(is_here(card))
    assert seen == [False] * 5 + [True]
    cached(tmp_path / "bin", card, {"config.json": "{}", "pytorch_model.bin": ""})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "bin"))
    assert is_here(card)
