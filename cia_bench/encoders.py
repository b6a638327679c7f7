"""What a model is: an encoder of frames and, for a frame encoder, a summary of its vectors; how each is found by name.

A model is named `encoder[:summary]`, or several of these joined by `+`. Encoders and summaries come from entry points
(groups cia_bench.encoders and cia_bench.summaries), or from an import path `package.module:Class` in place of the
encoder's name.
"""

import hashlib
import importlib
import inspect
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

from cia_bench.errors import ConfigError, EncoderError
from cia_bench.files import sha256_of
from cia_bench.seen_clips import SeenClips

ENCODERS, SUMMARIES = "cia_bench.encoders", "cia_bench.summaries"
TRAINERS, CONVERTERS = "cia_bench.trainers", "cia_bench.converters"
KINDS = {ENCODERS: "encoder", SUMMARIES: "summary", TRAINERS: "trainer", CONVERTERS: "converter"}
SHORT_NAMES = {"lift": "dinov2-small-reg:lift"}  # the published model
FILTERS = ("bilinear", "bicubic")
LAYOUTS = ("THWC", "TCHW")
SEEN, SEEN_AS = ("ssv2", "epic", "charades", "kinetics"), ("clips", "labels")


@dataclass(frozen=True)
class FrameSpec:
    """The frames that an encoder wants of each clip.

    Frames are spread evenly over the clip, first and last included. Without `short_side` a picture is squashed to a
    square of `size` pixels; with it, its short side is resized to that and the square is cut from its centre. Without
    `mean` and `std` values are uint8, 0 to 255; with them float32, (value / 255 - mean) / std for red, green and blue.
    """

    count: int = 16  # T
    size: int = 224  # pixels, H and W
    short_side: int | None = None  # pixels
    filter: str = "bicubic"  # of the resize, which smooths before it makes smaller
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    layout: str = "THWC"  # or TCHW

    def __post_init__(self):
        sizes = (self.count, self.size, self.size if self.short_side is None else self.short_side)
        if not all(isinstance(number, int) and number > 0 for number in sizes):
            raise ConfigError(f"count, size and short_side of frames must be whole numbers above 0, not {self}")
        if self.short_side is not None and self.short_side < self.size:
            raise ConfigError(f"a square of {self.size} pixels can't be cut from a short side of {self.short_side}")
        if self.filter not in FILTERS or self.layout not in LAYOUTS:
            raise ConfigError(f"frames need filter {' or '.join(FILTERS)}, layout {' or '.join(LAYOUTS)}, not {self}")
        if (self.mean is None) != (self.std is None):
            raise ConfigError(f"frames need both mean and std or neither, not {self}")
        if self.mean is not None and not (len(self.mean) == len(self.std) == 3 and min(self.std) > 0):
            raise ConfigError(f"mean and std of frames need three numbers, and std above 0, not {self}")

    @property
    def pictures(self) -> "FrameSpec":
        """These frames as `crop` gives them, which encoders that want other values of them share."""
        return replace(self, mean=None, std=None, layout="THWC")

    def crop(self, images: np.ndarray) -> np.ndarray:
        """Resize and crop the pictures of one clip, uint8 (T, H, W, 3) -> uint8 (T, size, size, 3)."""
        import torch
        from torch.nn.functional import interpolate

        T, H, W, _ = images.shape
        high, wide = self._resized(H, W)
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2)  # (T, 3, H, W), in memory still channels last
        resized = interpolate(pictures, (high, wide), mode=self.filter, antialias=True, align_corners=False)
        top, left = (high - self.size) // 2, (wide - self.size) // 2  # as transformers: torchvision rounds
        square = resized[:, :, top : top + self.size, left : left + self.size]
        return square.permute(0, 2, 3, 1).contiguous().numpy()

    def _resized(self, high: int, wide: int) -> tuple[int, int]:
        if self.short_side is None:
            return self.size, self.size
        short = min(high, wide)
        return self.short_side * high // short, self.short_side * wide // short  # whole numbers: floats lose a pixel

    def values(self, batch: np.ndarray) -> np.ndarray:
        """The numbers the encoder gets: uint8 (B, T, S, S, 3) -> the dtype and layout that this names."""
        if self.mean is None:
            return np.ascontiguousarray(batch.transpose(0, 1, 4, 2, 3)) if self.layout == "TCHW" else batch
        import torch  # on all cores, and without a copy for each step

        mean, scale = (torch.tensor(numbers, dtype=torch.float32) * 255 for numbers in (self.mean, self.std))
        pictures = torch.from_numpy(batch)
        if self.layout == "TCHW":
            pictures = pictures.permute(0, 1, 4, 2, 3)
            mean, scale = mean[:, None, None], scale[:, None, None]
        numbers = pictures.to(torch.float32, memory_format=torch.contiguous_format)
        return numbers.sub_(mean).div_(scale).numpy()


@dataclass(frozen=True)
class Card:
    """What is known of a model before its weights are loaded, for `cia models` and beside its results."""

    family: str
    supervision: str  # what told it right from wrong in training: labels, captions, nothing
    data: str  # that it was trained on
    licence: str  # of the weights
    parameters: int
    dim: int  # numbers of a vector
    frames: int  # that it takes of a clip
    gives: str = "clip"  # a vector a clip, or a `frame`
    saw: Mapping[str, str] = field(default_factory=dict)  # contamination: of SEEN, `clips` without labels, or `labels`
    hub_id: str | None = None  # where the weights are
    revision: str | None = None  # of that page; None: its newest
    url: str | None = None  # of the released file, if `cia convert` is to make the weights of it
    converter: str | None = None  # that does it

    def __post_init__(self):
        unknown = sorted(set(self.saw) - set(SEEN)) + sorted(set(self.saw.values()) - set(SEEN_AS))
        if unknown:
            raise ConfigError(f"a model can have seen {', '.join(SEEN)} as {' or '.join(SEEN_AS)}, not {unknown[0]!r}")


class Encoder(ABC):
    """Turns frames into vectors: a frame encoder one vector a frame, a video encoder one vector a clip.

    A subclass names the frames it wants and its number of parameters, and defines `embed`. One with weights takes them
    in its constructor and sets `weights_sha256`.
    """

    frames = FrameSpec()
    parameters = 0
    weights_sha256: str | None = None
    card: Card | None = None  # None: nothing is known

    def __init__(self, weights: str | None = None, device: str = "cpu"):
        if weights is not None:
            raise ConfigError(f"{type(self).__name__} has no weights to load from {weights}; leave --weights out")

    @abstractmethod
    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Frames (B, T, H, W, 3), or (B, T, 3, H, W) if so asked, -> (B, T, D) a frame, or (B, D) a clip; finite."""


class Summary(ABC):
    """Turns the vectors of a clip's frames into one.

    One with weights sets `parameters`, `weights_sha256` and `trained_on`, what its training sequences were: encoder,
    weights_sha256 and frames, as a store's record has them; what it lacks is not known. What it saw in training, which
    results carry, is `saw_clips`, clip by clip, or at least `saw`, as a Card's; without either it is not known.
    """

    parameters = 0
    weights_sha256: str | None = None
    trained_on: dict | None = None
    saw: Mapping[str, str] | None = None
    saw_clips: SeenClips | None = None

    def __init__(self, weights: str | None = None, device: str = "cpu"):
        if weights is not None:
            raise ConfigError(f"{type(self).__name__} has no weights to load from {weights}; leave --weights out")

    @abstractmethod
    def __call__(self, sequences: np.ndarray, clip_ids: Sequence[str]) -> np.ndarray:
        """Sequences (N, T, D) of the clips -> (N, E)."""

    def trajectories(self, sequences: np.ndarray) -> dict[str, np.ndarray]:
        """What the summary makes of each frame, by name: (N, T, D) -> each (N, T, E), finite; by default nothing.

        `reconstruction` stands for the sequences drawn anew, (N, T, D); `latent` for the path they were drawn from.
        """
        return {}


@dataclass(frozen=True)
class ModelName:
    """The name of a model, or of one part of it, taken apart."""

    encoder: str
    summary: str | None  # None: an encoder that gives one vector a clip

    def __str__(self) -> str:
        return self.encoder + (f":{self.summary}" if self.summary else "")


def parse_model(name: str) -> ModelName:
    """Take `encoder[:summary]` or `package.module:Class[:summary]` apart; `lift` alone is the published model.

    Raises ConfigError for another form.
    """
    head, *rest = SHORT_NAMES.get(name, name).split(":")
    if "." in head and rest:
        head, rest = f"{head}:{rest[0]}", rest[1:]
    if len(rest) > 1 or not all([*head.split(":"), *rest]):
        raise ConfigError(f"model {name!r} is not like encoder:summary or package.module:Class:summary")
    return ModelName(head, rest[0] if rest else None)


def parse_parts(name: str) -> tuple[ModelName, ...]:
    """Take a model's name apart at each `+`, and each part as parse_model does; most models have one part.

    Raises ConfigError for a part that is empty, of another form, or there twice.
    """
    names = name.split("+")
    if len(names) > 1 and not all(names):
        raise ConfigError(f"model {name!r} has an empty part; join parts like pixels:concat+dinov2-small-reg:mean")
    parts = tuple(map(parse_model, names))
    repeated = [str(part) for part in parts if parts.count(part) > 1]
    if repeated:
        raise ConfigError(f"model {name!r} has the part {repeated[0]} twice")
    return parts


def summary_weights(part: ModelName, weights: Mapping[str, str]) -> str | None:
    """The weights of a part's summary: those given to the whole part, else to the summary's name."""
    return weights.get(str(part), weights.get(part.summary)) if part.summary else None


def load_encoder(name: str, weights: str | None = None, device: str = "cpu") -> Encoder:
    """Make the encoder of that name or import path.

    Raises ConfigError for an unknown one, EncoderError if it can't be imported, its weights can't be loaded, or it
    lacks what an Encoder has.
    """
    encoder = _import_class(name) if ":" in name else _find(ENCODERS, name)
    made = make_encoder(name, encoder, weights, device)
    if ":" in name and made.weights_sha256 is None:  # code in the making: an edit makes it another model
        made.weights_sha256 = sha256_of(Path(inspect.getfile(encoder)))
    return made


def make_encoder(name: str, encoder: object, weights: str | None = None, device: str = "cpu") -> Encoder:
    """Make an encoder of a class, called `name` in messages; raises EncoderError unless it is one that is complete."""
    if not (isinstance(encoder, type) and issubclass(encoder, Encoder)):
        raise EncoderError(f"{name} is not a subclass of cia_bench.encoders.Encoder")
    if inspect.isabstract(encoder):
        raise EncoderError(f"{name} does not define embed")
    return encoder(weights, device)


def load_summary(name: str, weights: str | None = None, device: str = "cpu") -> Summary:
    """Make the summary of that name; raises ConfigError for an unknown one, EncoderError for bad weights."""
    return _find(SUMMARIES, name)(weights, device)


def load_trainer(name: str):
    """The training function of that name; raises ConfigError for an unknown one."""
    return _find(TRAINERS, name)


def load_converter(name: str) -> Callable[[Path, Path], str]:
    """The function of that name that turns another's file of weights into a folder of ours, and tells what came of it.

    Raises ConfigError for an unknown one.
    """
    return _find(CONVERTERS, name)


def _import_class(path: str) -> type:
    module, name = path.split(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the author's file lies where the command is typed
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise EncoderError(f"can't import {path} (from {here} or what is installed): {error}") from error


def _find(group: str, name: str):
    """What the entry point of that name gives; raises ConfigError if there is none, or two packages offer one."""
    points = entry_points(group=group)
    found = list({point.value: point for point in points if point.name == name}.values())
    if len(found) != 1:
        if found:
            raise ConfigError(
                f"{KINDS[group]} {name!r} is offered twice: {' and '.join(point.value for point in found)}"
            )
        raise ConfigError(
            f"unknown {KINDS[group]} {name!r}; {_choices(name, sorted({point.name for point in points}))}"
        )
    return found[0].load()


def _choices(name: str, known: list[str]) -> str:
    """What to choose in place of an unknown name: all there is, or what is spelt alike."""
    if len(known) <= 10:
        return f"choose from {', '.join(known) or 'none: is cia-bench installed?'}"
    alike = get_close_matches(name, known)
    return (f"is it {' or '.join(alike)}? " if alike else "") + "cia models lists them all"


def checked_embedding(name: str, embedding: object, clips: int, frames: int) -> np.ndarray:
    """What an encoder gave for a batch, as float32; raises EncoderError unless it is finite, (B, T, D) or (B, D)."""
    array = np.asarray(embedding)
    shapes = f"({clips}, {frames}, D) or ({clips}, D)"
    good = array.ndim in (2, 3) and array.shape[0] == clips and array.shape[-1] > 0
    if not good or (array.ndim == 3 and array.shape[1] != frames) or array.dtype.kind != "f":
        raise EncoderError(
            f"{name} gave {array.dtype} {array.shape} for {clips} clips of {frames} frames, not {shapes}"
        )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise EncoderError(f"{name} gave numbers that are NaN or infinite")
    return array


def choose_device(device: str) -> str:
    """`device`, or for auto cuda if there is one, else mps, else cpu; raises ConfigError if torch does not have it."""
    import torch

    if device == "auto":
        there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
        return next((kind for kind, is_there in there.items() if is_there()), "cpu")
    try:
        (torch.zeros(1, device=device) + 1).cpu()  # a GPU that torch has no code for fails once it computes
    except Exception as error:  # torch raises nearly anything for a device that is not there
        reason = re.split(r"\.\s|\n", str(error))[0]
        raise ConfigError(f"torch has no device {device!r}: {reason}") from error
    return device


def describe(name: str, encoder: Encoder, precision: str = "float32") -> dict:
    """What fixes the numbers that an encoder gives in a precision (precision.PRECISIONS), for the record of a store.

    Beside that, `saw`: see Card; None if it has none.
    """
    return {
        "encoder": name,
        "parameters": encoder.parameters,
        "weights_sha256": encoder.weights_sha256,
        "frames": {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(encoder.frames).items()
        },
        "precision": precision,
        "saw": None if encoder.card is None else dict(encoder.card.saw),
    }


def merge_saw(parts: Sequence[Mapping[str, str] | None]) -> dict[str, str] | None:
    """What the parts of a model saw together, labels over clips; None if nothing is known of any."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return {name: max(part[name] for part in known if name in part) for name in SEEN if any(name in p for p in known)}


def folder_digest(folder: Path, names: Sequence[str]) -> str:
    """SHA-256 over the named files of a weights folder, each with its name."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()


def weights_for(parts: Sequence[ModelName], weights: Mapping[str, str]) -> dict[str, str]:
    """Those of the weights that the parts take: by an encoder's name, a summary's, or a whole part's."""
    names = {name for part in parts for name in (part.encoder, part.summary, str(part))}
    return {name: place for name, place in weights.items() if name in names}


def check_models(parts: Sequence[ModelName], weights: Mapping[str, str]) -> None:
    """Raise ConfigError if a summary is unknown, or `weights` names what none of the models' parts is or has."""
    for part in parts:
        if part.summary:
            _find(SUMMARIES, part.summary)
    names = {name for part in parts for name in (part.encoder, part.summary) if name}
    unknown = sorted(set(weights) - set(weights_for(parts, weights)))
    if unknown:
        raise ConfigError(f"weights of {unknown[0]!r}, which no model here has; they have {', '.join(sorted(names))}")
