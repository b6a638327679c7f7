"""Read from a checkpoint's own config files how frames are resized, cropped and normalised."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cia_bench.encoders import FrameSpec
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.files import read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILTERS = {2: "bilinear", 3: "bicubic"}  # as Pillow numbers them, and the config files with it
OF_IMAGES = ("preprocessor_config.json", "processor_config.json")  # the first that is there counts
OF_VIDEOS = ("video_preprocessor_config.json", *OF_IMAGES)
PARTS = ("video_processor", "image_processor")  # of processor_config.json
NEEDED = ("do_resize", "do_rescale")


def read_config(path: Path) -> dict:
    """Read a JSON object; raises EncoderError if it is missing or none."""
    try:
        return read_json(path)
    except ValueError as error:
        raise EncoderError(f"{path} can't be read: {error}") from error


def read_preprocessing(
    folder: Path, count: int, names: Sequence[str] = OF_IMAGES, instead: Mapping[str, object] = MappingProxyType({})
) -> FrameSpec:
    """The frames that the first of these config files in a folder asks for, `count` of them, as TCHW.

    `instead` holds in place of what the file says.

    Raises EncoderError naming the file if it is missing, or asks for what a FrameSpec can't say.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    config = read_config(path)
    config = {**next((config[part] for part in PARTS if isinstance(config.get(part), dict)), config), **instead}
    left_out = [step for step in NEEDED if not config.get(step, True)]
    if left_out:
        raise EncoderError(f"{path} leaves out {', '.join(left_out)}, which this encoder does")
    try:
        short_side, size = _sizes(config)
        mean, std = _normalisation(config)
        return FrameSpec(
            count=count,
            size=size,
            short_side=short_side,
            filter=FILTERS[config["resample"]],
            mean=mean,
            std=std,
            layout="TCHW",
        )
    except (KeyError, TypeError, ZeroDivisionError, ConfigError) as error:
        raise EncoderError(f"{path} does not tell how to resize and crop: {type(error).__name__} {error}") from error


def _sizes(config: dict) -> tuple[int | None, int]:
    """The short side, None if a picture is squashed, and the side of the square."""
    size, crop = config["size"], config.get("crop_size")
    if not config.get("do_center_crop", crop is not None):
        return None, _side(size)
    side = _side(crop)
    if isinstance(size, dict) and "shortest_edge" not in size:  # squashed to what is cut: nothing is cut
        if _side(size) != side:
            raise ConfigError(f"a picture squashed to {size} can't be cropped to {crop}")
        return None, side
    return (size["shortest_edge"] if isinstance(size, dict) else size), side


def _side(size: dict | int) -> int:
    """The side of a square; older files say a number alone."""
    if not isinstance(size, dict):
        return size
    if size["height"] != size["width"]:
        raise ConfigError(f"pictures of {size['height']} x {size['width']} pixels are not square")
    return size["height"]


def _normalisation(config: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """mean and std of values between 0 and 1.

    A file may scale by another factor than 1 / 255, and then shift by 1 (`offset`): ViViT's factor is 1 / 127.5.
    """
    scale, shift = config.get("rescale_factor", 1 / 255) * 255, 1.0 if config.get("offset") else 0.0
    if abs(scale - 1) < 1e-6:
        scale = 1.0
    mean, std = (0.0,) * 3, (1.0,) * 3
    if config.get("do_normalize", True):
        mean, std = config.get("image_mean", IMAGENET_MEAN), config.get("image_std", IMAGENET_STD)
    return tuple((number + shift) / scale for number in mean), tuple(number / scale for number in std)
