"""What a checkpoint's own files say of its frames, beside transformers' processors that read the same files."""

import json
from pathlib import Path

import numpy as np
import pytest
import transformers
from test_encoders import waves
from tiny_models import TINY
from transformers import VivitImageProcessor

from cia_bench.baselines.preprocessing import OF_VIDEOS, read_preprocessing
from cia_bench.baselines.video_models import Vivit
from cia_bench.encoders import FrameSpec
from cia_bench.errors import EncoderError

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
BIG = {"height": 224, "width": 224}
# the released files, as far as they are known: see shared/reference/MODELS.md
RELEASED = {
    "dinov2": (
        "BitImageProcessorPil",
        {
            "size": {"shortest_edge": 256},
            "crop_size": BIG,
            "resample": 3,
            "do_center_crop": True,
            **TINY["dinov2"].norm,
        },
    ),
    "clip": (
        "CLIPImageProcessorPil",
        {
            "size": 224,
            "crop_size": 224,
            "resample": 3,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
    ),
    "siglip": (
        "SiglipImageProcessorPil",
        {"size": BIG, "resample": 3, "rescale_factor": 1 / 255, **TINY["siglip"].norm},
    ),
    "siglip2": ("SiglipImageProcessorPil", {"size": BIG, "resample": 2, "do_convert_rgb": None, **TINY["siglip"].norm}),
    "internvit": (
        "GotOcr2ImageProcessorPil",
        {"size": {"height": 448, "width": 448}, "resample": 3, "crop_to_patches": False, **TINY["dinov2"].norm},
    ),
    "videomae": (
        "VideoMAEImageProcessorPil",
        {"size": 224, "do_center_crop": True, "crop_size": 224, "resample": 2, **TINY["dinov2"].norm},
    ),
    "timesformer": (
        "VideoMAEImageProcessorPil",
        {"size": {"shortest_edge": 224}, "crop_size": BIG, "resample": 2, **TINY["timesformer"].norm},
    ),
}


def write(folder: Path, content: dict, name: str = "preprocessor_config.json") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


def apart_in_grey_levels(spec: FrameSpec, image: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    ours = spec.values(spec.crop(image[None])[None])[0, 0]
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    return np.abs(ours - theirs) * 255 * np.array(spec.std)[:, None, None]


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (360, 481), (101, 150), (454, 256)])
@pytest.mark.parametrize("kind", RELEASED)
def test_frames_are_those_of_transformers_own_processor_within_a_grey_level(kind, shape, tmp_path):
    processor, content = RELEASED[kind]
    folder = write(tmp_path / "folder", {**content, "image_processor_type": processor.removesuffix("Pil")})
    theirs = getattr(transformers, processor).from_pretrained(folder)
    image = waves(*shape)
    pixels = theirs([image] if kind != "videomae" else [[image]], return_tensors="np")["pixel_values"]
    apart = apart_in_grey_levels(read_preprocessing(folder, 1), image, pixels.reshape(-1, *pixels.shape[-3:])[0])
    # of bicubic, torch rounds weights more coarsely than Pillow: now and then two values in 10,000 are 2 levels off
    assert apart.max() < 2.01 and (apart > 1.01).mean() < 2e-4 and apart.mean() < 0.1


def test_vivit_gets_the_values_it_was_trained_on_and_not_those_that_its_file_asks_for(tmp_path):
    file = {"size": {"shortest_edge": 224}, "crop_size": BIG, "resample": 2, "rescale_factor": 1 / 127.5}
    folder = write(tmp_path / "folder", {**file, "do_normalize": True, **TINY["siglip"].norm})
    spec = read_preprocessing(folder, 1, OF_VIDEOS, Vivit.preprocessing)
    image = waves(240, 320)
    once = VivitImageProcessor(**file, offset=True, do_normalize=False)([[image]], return_tensors="np")["pixel_values"]
    assert apart_in_grey_levels(spec, image, once[0, 0]).max() < 1.01
    ends = spec.values(np.array([0, 255], np.uint8).reshape(1, 2, 1, 1, 1).repeat(3, axis=4))
    np.testing.assert_allclose(ends[0, :, 0, 0, 0], [-1, 1], atol=1e-6)
    twice = VivitImageProcessor.from_pretrained(folder)([[np.full_like(image, 0)]], return_tensors="np")
    assert np.allclose(twice["pixel_values"], -3)


def test_the_file_for_videos_counts_before_that_for_images_and_both_before_the_one_for_all(tmp_path):
    sizes = {"processor_config.json": 30, "preprocessor_config.json": 40, "video_preprocessor_config.json": 50}
    for name, side in sizes.items():
        content = {"size": {"height": side, "width": side}, "resample": 2, **TINY["siglip"].norm}
        write(tmp_path, {"image_processor": content} if side == 30 else content, name)
    for name, side in (("video_preprocessor_config.json", 50), ("preprocessor_config.json", 40), ("", 30)):
        assert read_preprocessing(tmp_path, 16, OF_VIDEOS).size == side
        assert read_preprocessing(tmp_path, 16).size == min(side, 40)
        (tmp_path / name).unlink() if name else None


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}, {"size": 32, "short_side": 40}),
        ({"size": 40, "crop_size": 32}, {"size": 32, "short_side": 40}),
        ({"size": 40, "crop_size": 32, "do_center_crop": False}, {"size": 40}),
        ({"size": {"height": 32, "width": 32}, "crop_size": None}, {"size": 32}),
        ({"size": {"height": 32, "width": 32}, "crop_size": 32, "do_center_crop": None}, {"size": 32}),
        ({"size": {"height": 32, "width": 32}, "crop_size": {"height": 32, "width": 32}}, {"size": 32}),
        ({"size": 32, "do_normalize": False}, {"size": 32, "mean": (0,) * 3, "std": (1,) * 3}),
        (
            {"size": 32, "rescale_factor": 1 / 127.5, "offset": True, "do_normalize": False},
            {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3},
        ),
        (
            {"size": 32, "rescale_factor": 2 / 255, "image_mean": [1, 2, 3], "image_std": [2, 4, 6]},
            {"size": 32, "mean": (0.5, 1, 1.5), "std": (1, 2, 3)},
        ),
    ],
)
def test_each_way_to_say_sizes_and_values_is_understood(content, wanted, tmp_path):
    spec = read_preprocessing(write(tmp_path, {"resample": 2, **content}), 16)
    expected = FrameSpec(count=16, filter="bilinear", layout="TCHW", **{**IMAGENET, **wanted})
    np.testing.assert_allclose((*spec.mean, *spec.std), (*expected.mean, *expected.std), rtol=1e-6)
    assert (spec.size, spec.short_side, spec.filter) == (expected.size, expected.short_side, "bilinear")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": {"height": 56, "width": 28}}, "pictures of 56 x 28 pixels are not square"),
        ({"crop_size": {"height": 80, "width": 80}}, "a square of 80 pixels can't be cut from a short side of 64"),
        ({"crop_size": {"height": 56.5, "width": 56.5}}, "whole numbers above 0"),
        ({"crop_size": {"side": 56}}, "does not tell how to resize and crop: KeyError 'height'"),
        ({"size": {"height": 64, "width": 64}}, "a picture squashed to {'height': 64, 'width': 64} can't be cropped"),
        ({"size": {"longest_edge": 64}}, "does not tell how to resize and crop: KeyError 'height'"),
        ({"size": {"shortest_edge": 64}, "do_center_crop": False}, "KeyError 'height'"),
        ({"resample": 1}, "does not tell how to resize and crop: KeyError 1"),
        ({"resample": [3]}, "does not tell how to resize and crop: TypeError"),
        ({"image_mean": None}, "does not tell how to resize and crop: TypeError"),
        ({"image_mean": [0.5, 0.5]}, "three numbers"),
        ({"image_std": [0.5, 0.5, 0]}, "std above 0"),
        ({"image_std": ["a", "b", "c"]}, "does not tell how to resize and crop: TypeError"),
        ({"rescale_factor": "1/255"}, "does not tell how to resize and crop: TypeError"),
        ({"rescale_factor": 0}, "does not tell how to resize and crop: ZeroDivisionError"),
        ({"do_rescale": False}, "leaves out do_rescale, which this encoder does"),
        ({"do_resize": False, "do_rescale": False}, "leaves out do_resize, do_rescale, which this encoder does"),
    ],
)
def test_preprocessing_that_we_would_not_follow_is_refused(changes, message, tmp_path):
    square = {"height": 56, "width": 56}
    write(tmp_path, {"size": {"shortest_edge": 64}, "crop_size": square, "resample": 3, **changes})
    with pytest.raises(EncoderError) as caught:
        read_preprocessing(tmp_path, 16)
    refused = str(caught.value)
    assert refused.startswith(str(tmp_path / "preprocessor_config.json")) and message in refused
