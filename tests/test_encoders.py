from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BitImageProcessorPil

from cia_bench.baselines.pixels import Pixels
from cia_bench.baselines.summaries import Concat, FirstFrame, LastFrame, Mean, RandomFrame
from cia_bench.encoders import (
    FrameSpec,
    ModelName,
    check_models,
    checked_embedding,
    choose_device,
    describe,
    load_encoder,
    load_summary,
    load_trainer,
    merge_saw,
    parse_model,
)
from cia_bench.errors import ConfigError, EncoderError

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SIZES = [(100, 160), (160, 100), (37, 53), (53, 37), (480, 854), (201, 30), (64, 64), (90, 20), (455, 256)]  # H, W


def noise(high: int, wide: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (high, wide, 3), dtype=np.uint8)


def waves(high: int, wide: int) -> np.ndarray:
    y, x = np.mgrid[:high, :wide]
    return (127.5 + 127.5 * np.sin(np.stack([x / 9, y / 7, (x + y) / 11], axis=-1))).astype(np.uint8)


# the frames that an encoder gets


def short_side_size(high: int, wide: int, short_side: int) -> tuple[int, int]:
    """As torchvision and transformers resize: the long side is cut to whole pixels."""
    if wide <= high:
        return int(short_side * high / wide), short_side
    return short_side, int(short_side * wide / high)


def slow_crop(image: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Pillow's resize, first in x and then in y, and the centre square; (H, W, 3) -> (size, size, 3)."""
    shape = image.shape[:2]
    high, wide = short_side_size(*shape, spec.short_side) if spec.short_side else (spec.size, spec.size)
    across = Image.fromarray(image).resize((wide, shape[0]), FILTERS[spec.filter])
    both = np.asarray(across.resize((wide, high), FILTERS[spec.filter]))
    top, left = (high - spec.size) // 2, (wide - spec.size) // 2
    return both[top : top + spec.size, left : left + spec.size]


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("short_side", "size"), [(None, 48), (64, 56), (256, 224), (48, 48)])
@pytest.mark.parametrize("shape", SIZES)
def test_a_crop_is_that_of_pillow_within_a_grey_level(shape, short_side, size, filter):
    spec = FrameSpec(count=2, size=size, short_side=short_side, filter=filter)
    images = np.stack([noise(*shape), waves(*shape)])
    crops = spec.crop(images)
    assert crops.shape == (2, size, size, 3) and crops.dtype == np.uint8
    apart = np.abs(crops.astype(int) - np.stack([slow_crop(image, spec) for image in images]))
    # torch rounds its bicubic weights more coarsely than Pillow: now and then one value in 10,000 is 2 levels off
    assert apart.max() <= 2 and (apart > 1).mean() < (1e-4 if filter == "bicubic" else 1e-12)


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (360, 480), (256, 341), (101, 150)])
def test_dinov2_preprocessing_is_that_of_transformers(shape):
    processor = BitImageProcessorPil(
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        resample=3,
        image_mean=list(IMAGENET["mean"]),
        image_std=list(IMAGENET["std"]),
    )
    spec = FrameSpec(count=1, size=224, short_side=256, layout="TCHW", **IMAGENET)
    image = waves(*shape)
    theirs = processor(image, return_tensors="np")["pixel_values"]
    ours = spec.values(spec.crop(image[None])[None])[0]
    assert ours.shape == theirs.shape == (1, 3, 224, 224) and ours.dtype == theirs.dtype == np.float32
    grey_level = 1 / 255 / min(IMAGENET["std"])
    apart = np.abs(ours - theirs) / grey_level
    assert apart.max() < 2.01 and (apart > 1.01).mean() < 1e-4 and apart.mean() < 0.1  # as Pillow's, above


def test_the_resized_size_is_that_of_transformers_for_every_aspect():
    from transformers.image_transforms import get_resize_output_image_size

    for high in range(20, 420, 7):
        for wide in range(20, 420, 3):
            image = np.empty((3, high, wide), np.uint8)
            for short_side in (56, 224, 256):
                theirs = get_resize_output_image_size(image, short_side, False, input_data_format="channels_first")
                assert FrameSpec(size=short_side, short_side=short_side)._resized(high, wide) == theirs


def test_values_are_normalised_and_laid_out_as_the_spec_says():
    batch = np.zeros((1, 2, 1, 1, 3), np.uint8)
    batch[0, 1, 0, 0] = (255, 51, 0)
    plain = FrameSpec(size=1).values(batch)
    assert plain.dtype == np.uint8 and np.array_equal(plain, batch)
    normal = FrameSpec(size=1, mean=(0.5, 0.2, 0.25), std=(0.25, 0.5, 0.5), layout="TCHW").values(batch)
    assert normal.dtype == np.float32 and normal.shape == (1, 2, 3, 1, 1) and normal.flags.c_contiguous
    np.testing.assert_allclose(normal[0, :, :, 0, 0], [[-2, -0.4, -0.5], [2, 0, -0.5]], atol=1e-6)
    last = FrameSpec(size=1, mean=(0.5, 0.2, 0.25), std=(0.25, 0.5, 0.5)).values(batch)
    np.testing.assert_array_equal(last, normal.transpose(0, 1, 3, 4, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "whole numbers above 0"),
        ({"size": -1}, "whole numbers above 0"),
        ({"size": 56.5}, "whole numbers above 0"),
        ({"short_side": 0}, "whole numbers above 0"),
        ({"size": 224, "short_side": 223}, "a square of 224 pixels can't be cut from a short side of 223"),
        ({"filter": "nearest"}, "filter bilinear or bicubic"),
        ({"layout": "CTHW"}, "layout THWC or TCHW"),
        ({"mean": (0.5, 0.5, 0.5)}, "both mean and std or neither"),
        ({"mean": (0.5, 0.5), "std": (0.5, 0.5)}, "three numbers"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.0, 0.5)}, "std above 0"),
    ],
)
def test_frames_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        FrameSpec(**settings)


# names


def test_a_model_name_comes_apart_and_together_again():
    for name, parts in {
        "pixels": ("pixels", None),
        "pixels:mean": ("pixels", "mean"),
        "dinov2-small-reg:lift": ("dinov2-small-reg", "lift"),
        "mine.model:Net": ("mine.model:Net", None),
        "mine.model:Net:concat": ("mine.model:Net", "concat"),
    }.items():
        assert parse_model(name) == ModelName(*parts)
        assert str(parse_model(name)) == name
    assert str(parse_model("lift")) == "dinov2-small-reg:lift"


@pytest.mark.parametrize("name", ["", ":", ":mean", "pixels:", "pixels:mean:lift", "a.b:", "a.b:C:", "a.b:C:mean:x"])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ConfigError, match="is not like encoder:summary or package.module:Class:summary"):
        parse_model(name)


def test_unknown_names_list_the_known_ones_or_those_spelt_alike():
    with pytest.raises(ConfigError, match=r"unknown encoder 'pixel'; is it pixels\? cia models lists them all"):
        load_encoder("pixel")
    with pytest.raises(
        ConfigError, match=r"unknown summary 'sum'; choose from concat, first-frame, last-frame, lift, mean, rand"
    ):
        load_summary("sum")
    with pytest.raises(ConfigError, match=r"unknown trainer 'left'; choose from lift"):
        load_trainer("left")


def test_the_bundled_models_are_found_by_name():
    assert type(load_encoder("pixels")) is Pixels
    for name, summary in {
        "mean": Mean,
        "concat": Concat,
        "first-frame": FirstFrame,
        "last-frame": LastFrame,
        "random-frame": RandomFrame,
    }.items():
        assert type(load_summary(name)) is summary


PLUG_IN = """
import numpy as np
from cia_bench.encoders import Encoder, FrameSpec

class Red(Encoder):
    frames = FrameSpec(count=3, size=8)
    def embed(self, frames):
        return frames[..., :1].mean(axis=(2, 3), dtype=np.float32)

class Unfinished(Encoder):
    pass

class Stranger:
    pass

def maker(weights, device):
    return Red(weights, device)
"""


@pytest.fixture
def plug_in(here: Path) -> Path:
    (here / "my_models").mkdir()
    (here / "my_models" / "colours.py").write_text(PLUG_IN)
    return here


def test_an_encoder_is_imported_from_the_current_folder(plug_in):
    encoder = load_encoder("my_models.colours:Red")
    frames = np.zeros((2, 3, 8, 8, 3), np.uint8)
    frames[1, 2, ..., 0] = 7
    assert encoder.embed(frames).tolist() == [[[0], [0], [0]], [[0], [0], [7]]]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("my_models.shapes:Red", "can't import my_models.shapes:Red .*No module named 'my_models.shapes'"),
        ("my_models.colours:Blue", "can't import my_models.colours:Blue .*no attribute 'Blue'"),
        ("my_models.colours:Stranger", "my_models.colours:Stranger is not a subclass of cia_bench.encoders.Encoder"),
        ("my_models.colours:maker", "my_models.colours:maker is not a subclass of cia_bench.encoders.Encoder"),
        ("my_models.colours:np", "my_models.colours:np is not a subclass of cia_bench.encoders.Encoder"),
        ("my_models.colours:Unfinished", "my_models.colours:Unfinished does not define embed"),
    ],
)
def test_what_is_no_encoder_is_refused_by_its_path(path, message, plug_in):
    with pytest.raises(EncoderError, match=message):
        load_encoder(path)


def test_weights_for_what_has_none_are_refused(plug_in):
    with pytest.raises(ConfigError, match="Pixels has no weights to load from w; leave --weights out"):
        load_encoder("pixels", "w")
    with pytest.raises(ConfigError, match="Red has no weights to load from w"):
        load_encoder("my_models.colours:Red", "w")
    with pytest.raises(ConfigError, match="Mean has no weights to load from w"):
        load_summary("mean", "w")


def test_weights_must_be_of_a_model_that_is_asked_for():
    models = [parse_model("pixels:lift"), parse_model("a.b:C")]
    check_models(models, {"pixels": "x", "lift": "y", "a.b:C": "z"})
    with pytest.raises(ConfigError, match="'lfit', which no model here has; they have a.b:C, lift, pixels"):
        check_models(models, {"lfit": "y"})


def test_a_device_that_is_not_there_is_refused():
    for device in ("tpu-9", "cuda:99", "meta", "xla", ""):
        with pytest.raises(ConfigError, match=f"torch has no device '{device}': ") as refused:
            choose_device(device)
        assert len(str(refused.value)) < 250 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cuda", "mps", "taken"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_cuda_before_mps_before_the_cpu(cuda, mps, taken, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == taken
    assert choose_device("cpu") == "cpu"


def test_the_description_holds_what_fixes_the_numbers():
    assert describe("pixels", Pixels()) == {
        "encoder": "pixels",
        "parameters": 0,
        "weights_sha256": None,
        "frames": {
            "count": 16,
            "size": 48,
            "short_side": None,
            "filter": "bilinear",
            "mean": None,
            "std": None,
            "layout": "THWC",
        },
        "precision": "float32",
        "saw": {},
    }
    assert describe("pixels", Pixels(), "bfloat16")["precision"] == "bfloat16"


def test_what_parts_of_a_model_saw_adds_up_labels_over_clips():
    ssv2, labels, kinetics = {"ssv2": "clips"}, {"ssv2": "labels"}, {"kinetics": "clips"}
    assert merge_saw([ssv2, labels, kinetics]) == {"ssv2": "labels", "kinetics": "clips"}
    assert merge_saw([labels, ssv2]) == labels
    assert merge_saw([None, ssv2]) == ssv2  # of the first part nothing is known
    assert merge_saw([None, None]) is None
    assert merge_saw([{}]) == {}


# what an encoder gives


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 5), (2, 1)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_good_embedding_becomes_float32(shape, dtype):
    given = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    array = checked_embedding("m", given, 2, 3)
    assert array.dtype == np.float32 and np.array_equal(array, given)


@pytest.mark.parametrize("shape", [(3, 3, 5), (2, 4, 5), (1, 5), (2,), (), (2, 3, 0), (2, 0), (2, 3, 5, 1)])
def test_an_embedding_of_another_shape_is_refused(shape):
    with pytest.raises(EncoderError, match=r"m gave float64 .* for 2 clips of 3 frames, not \(2, 3, D\) or \(2, D\)"):
        checked_embedding("m", np.zeros(shape), 2, 3)


@pytest.mark.parametrize("given", [np.zeros((2, 5), int), np.zeros((2, 5), complex), [["a"], ["b"]], None, "text"])
def test_an_embedding_that_is_not_of_real_numbers_is_refused(given):
    with pytest.raises(EncoderError, match="^m gave "):
        checked_embedding("m", given, 2, 3)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_refused(number):
    given = np.zeros((2, 3, 5))
    given[1, 2, 4] = number
    with pytest.raises(EncoderError, match="m gave numbers that are NaN or infinite"):
        checked_embedding("m", given, 2, 3)


# pixels


def test_pixels_are_the_mean_grey_and_the_edges_of_cells():
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:, 12:] = 255  # an upright edge in the middle of the second column of cells
    picture[20:, :] = 255  # a level one, left of it, in the middle of the third row of cells
    grey, upright, level = Pixels().embed(picture[None, None])[0, 0].reshape(3, 6, 6)
    wanted = np.full((6, 6), 5.0)
    wanted[:2, 0], wanted[2, 0], wanted[:2, 1], wanted[2, 1] = 0, 2.5, 2.5, 3.75
    np.testing.assert_allclose(grey, wanted)
    wanted = np.zeros((6, 6))
    wanted[:2, 1], wanted[2, 1] = 50 * 8 / 64, 50 * 4 / 64  # pixels with an edge of strength 1, of 64
    np.testing.assert_allclose(upright, wanted)
    wanted = np.zeros((6, 6))
    wanted[2, 0], wanted[2, 1] = 50 * 8 / 64, 50 * 4 / 64
    np.testing.assert_allclose(level, wanted)


def test_pixels_weigh_the_three_colours_alike():
    pictures = np.zeros((1, 4, 48, 48, 3), np.uint8)
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]):
        pictures[0, number] = colour
    grey = Pixels().embed(pictures)[0, :, 0]
    np.testing.assert_allclose(grey, [5 / 3, 5 / 3, 5 / 3, 5], rtol=1e-6)


# summaries

SEQUENCES = np.random.default_rng(0).standard_normal((6, 16, 5)).astype(np.float32) * 1e3
IDS = [f"clip {number}" for number in range(6)]


def test_the_mean_is_blind_to_the_order_of_frames_to_the_bit():
    mean = Mean()(SEQUENCES, IDS)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, SEQUENCES.astype(float).sum(axis=1) / 16, rtol=1e-6)
    for seed in range(20):
        shuffled = SEQUENCES[:, np.random.default_rng(seed).permutation(16)]
        assert Mean()(shuffled, IDS).tobytes() == mean.tobytes()


def test_the_mean_is_blind_where_a_plain_sum_is_not():
    sequence = np.array([1e16, 1, -1e16, 1], np.float32).reshape(1, 4, 1)
    plain = {float(sequence[:, list(order)].mean(axis=1, dtype=float)[0, 0]) for order in [(0, 1, 2, 3), (0, 2, 1, 3)]}
    assert len(plain) == 2
    assert Mean()(sequence, ["a"]) == Mean()(sequence[:, [0, 2, 1, 3]], ["a"])


def test_concat_keeps_the_frames_in_order():
    joined = Concat()(SEQUENCES, IDS)
    assert joined.shape == (6, 80)
    for frame in range(16):
        np.testing.assert_array_equal(joined[:, 5 * frame : 5 * frame + 5], SEQUENCES[:, frame])


def test_first_frame_is_the_first():
    np.testing.assert_array_equal(FirstFrame()(SEQUENCES, IDS), SEQUENCES[:, 0])
    np.testing.assert_array_equal(LastFrame()(SEQUENCES, IDS), SEQUENCES[:, -1])


def test_random_frame_depends_on_the_clip_id_alone():
    whole = RandomFrame()(SEQUENCES, IDS)
    for order in ([5, 4, 3, 2, 1, 0], [2], [4, 0]):
        part = RandomFrame()(SEQUENCES[order], [IDS[row] for row in order])
        np.testing.assert_array_equal(part, whole[order])
    assert not np.array_equal(RandomFrame()(SEQUENCES, [f"other {name}" for name in IDS]), whole)


def test_random_frames_are_spread_evenly():
    N, T = 8000, 16
    sequences = np.broadcast_to(np.arange(T, dtype=np.float32)[:, None], (N, T, 1))
    counts = np.bincount(RandomFrame()(sequences, [f"video_{row}" for row in range(N)])[:, 0].astype(int), minlength=T)
    assert ((counts - N / T) ** 2 / (N / T)).sum() < 37.7  # chi-squared of 15 degrees of freedom, once in a thousand
