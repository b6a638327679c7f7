"""Image models as frame encoders: one vector a frame, the weights from a folder or the model's hub page."""

from pathlib import Path

import numpy as np

from cia_bench.encoders import Encoder, FrameSpec, folder_digest
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.files import read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILTERS = {2: "bilinear", 3: "bicubic"}  # as Pillow numbers them, and preprocessor_config.json with it
STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


class Dinov2SmallReg(Encoder):
    """DINOv2 ViT-S/14 with registers: the CLS vector of each frame, 384 numbers (arXiv 2304.07193, 2309.16588).

    `weights` is a folder as transformers saves it, or a hub id; by default the hub's own weights.

    Raises EncoderError if there is no such folder or hub page, it is of another architecture, or any tensor of the
    model is not in the file or the other way round.
    """

    hub_id = "facebook/dinov2-with-registers-small"
    model_type = "dinov2_with_registers"

    def __init__(self, weights: str | None = None, device: str = "cpu"):
        import torch
        from transformers import Dinov2WithRegistersModel

        folder = find_weights(weights or self.hub_id)
        refuse_other_architecture(folder, self.model_type)
        self._torch, self._device = torch, device
        self._model = load_checked(Dinov2WithRegistersModel, folder).to(device).eval()
        self.parameters = sum(tensor.numel() for tensor in self._model.parameters())
        self.weights_sha256 = folder_digest(folder, ["config.json", *weight_files(folder)])
        self.frames = read_preprocessing(folder, count=16)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Frames (B, T, 3, S, S) -> CLS vectors (B, T, D)."""
        B, T = frames.shape[:2]
        pictures = self._torch.from_numpy(frames).flatten(0, 1).to(self._device)
        with self._torch.inference_mode():
            cls = self._model(pixel_values=pictures).pooler_output
        return cls.view(B, T, -1).float().cpu().numpy()


def find_weights(place: str) -> Path:
    """The folder of weights at a path, or fetched from the hub (kept in its cache)."""
    folder = Path(place)
    if folder.is_dir():
        return folder
    looks_like_hub_id = place.count("/") == 1 and not place.startswith((".", "/", "~"))
    if not looks_like_hub_id:
        raise EncoderError(f"weights folder {place} does not exist")
    from huggingface_hub import snapshot_download

    try:
        patterns = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"]
        return Path(snapshot_download(place, allow_patterns=patterns))
    except Exception as error:  # no network, no such page, no permission: each library below has its own
        raise EncoderError(
            f"can't get the weights {place} from the hub: {_first_line(error)}; "
            "give a folder that holds them, --weights MODEL=DIR"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def weight_files(folder: Path) -> list[str]:
    """The names of the safetensors files in a folder; raises EncoderError if there is none."""
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        raise EncoderError(f"weights folder {folder} holds no .safetensors file")
    return names


def refuse_other_architecture(folder: Path, model_type: str) -> None:
    """Raise EncoderError unless the folder's config.json says that its weights are of this architecture."""
    config = _read_config(folder / "config.json")
    if config.get("model_type") != model_type:
        raise EncoderError(f"{folder} holds a model of type {config.get('model_type')!r}, not {model_type!r}")


def _read_config(path: Path) -> dict:
    try:
        return read_json(path)
    except ValueError as error:
        raise EncoderError(f"{path} can't be read: {error}") from error


def load_checked(model_class, folder: Path):
    """Load a transformers model; raises EncoderError if a tensor is missing, unexpected or of another shape."""
    from transformers.utils import logging

    weight_files(folder)
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its warnings are our refusals
    logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            folder,
            dtype="float32",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # damaged files make the libraries below raise nearly anything
        raise EncoderError(f"{folder} can't be loaded: {_first_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            names = sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in info[kind])
            raise EncoderError(f"{folder}: {len(names)} {kind.replace('_keys', '')} tensors, the first {names[0]}")
    return model


def read_preprocessing(folder: Path, count: int) -> FrameSpec:
    """The frames that a folder's preprocessor_config.json asks for: short side, centre square, mean and std."""
    path = folder / "preprocessor_config.json"
    config = _read_config(path)
    left_out = [step for step in STEPS if not config.get(step, True)]
    if left_out:
        raise EncoderError(f"{path} leaves out {', '.join(left_out)}, which this encoder does")
    try:
        size, crop = config["size"], config["crop_size"]
        if crop["height"] != crop["width"]:
            raise EncoderError(
                f"{path} asks for pictures of {crop['height']} x {crop['width']} pixels, not square ones"
            )
        return FrameSpec(
            count=count,
            size=crop["height"],
            short_side=size["shortest_edge"],
            filter=FILTERS[config["resample"]],
            mean=tuple(config.get("image_mean", IMAGENET_MEAN)),
            std=tuple(config.get("image_std", IMAGENET_STD)),
            layout="TCHW",
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise EncoderError(f"{path} does not tell how to resize and crop: {type(error).__name__} {error}") from error
