"""Save a LiFT model as one safetensors file, and rebuild it from that file alone, or from the one its authors released.

The file's metadata holds one JSON entry, `lift`: the config that rebuilds the model, the origin, which says what
sequences it was trained on, and digests of the clips that these were of. (One entry, because safetensors writes several
in no fixed order.) Nothing is unpickled.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cia_bench.baselines.converting import refuse_no_zip, write_converted
from cia_bench.baselines.lift.model import LiFT, LiFTConfig
from cia_bench.baselines.lift.released import ORIGIN, read_released
from cia_bench.baselines.torch_files import is_zip
from cia_bench.errors import ConfigError, EncoderError, some
from cia_bench.files import sha256_of, whole_file
from cia_bench.seen_clips import SeenClips

FILE_NAME = "lift.safetensors"
ENTRY = "lift"
SEEN = "saw_clips"  # in the entry


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, of either kind; whether it makes a model is for `_rebuild` to check."""

    config: dict
    origin: dict
    tensors: dict[str, Tensor]
    seen: SeenClips | None = None  # None: not known


def save_lift(model: LiFT, path: Path, origin: dict, seen: SeenClips | None = None) -> None:
    """Write the weights as float32, the config, the origin, which must be fit for JSON, and the clips it saw."""
    with whole_file(path) as part:
        part.write_bytes(_as_bytes(model, origin, seen))


def _as_bytes(model: LiFT, origin: dict, seen: SeenClips | None = None) -> bytes:
    tensors = {key: tensor.detach().cpu().float().contiguous() for key, tensor in model.state_dict().items()}
    about = {"config": asdict(model.config), "origin": origin, **({SEEN: seen.to_json()} if seen else {})}
    entry = json.dumps(about, sort_keys=True, allow_nan=False)
    return save(tensors, metadata={ENTRY: entry})  # save_file hides a full disk's OSError


def convert(file: Path, out: Path) -> str:
    """Write the checkpoint that LiFT's authors released as `out`/lift.safetensors; returns what came of it in words.

    The origin there also says which file was converted. The converter behind `cia convert lift`.

    Raises EncoderError if `file` is not such a checkpoint, or if `out` has another one, and WriteError.
    """
    refuse_no_zip(file, "LiFT")
    model = load_lift(file)
    content = _as_bytes(model, {**ORIGIN, "converted_from": {"name": file.name, "sha256": sha256_of(file)}})
    write_converted(out, {FILE_NAME: content}, seal=FILE_NAME)
    parameters, config = sum(parameter.numel() for parameter in model.parameters()), model.config
    return f"{parameters:,} parameters in {config.layers} layers, for {config.feature_dim} features a frame"


def load_lift(path: Path) -> LiFT:
    """Rebuild a model, in evaluation mode on the CPU, from its file or the folder that holds one.

    The file may also be the one that LiFT's authors released: its content tells.

    Raises EncoderError naming the file, and the tensor if there is one: missing, unreadable, not a LiFT checkpoint, or
    a tensor that is missing, unexpected, of another shape or dtype, or not finite.
    """
    return load_with_origin(path)[0]


def load_with_origin(path: Path) -> tuple[LiFT, dict]:
    """Rebuild a model as load_lift does, and tell what is known of the sequences that it was trained on."""
    model, checkpoint = load_whole(path)
    return model, checkpoint.origin


def load_whole(path: Path) -> tuple[LiFT, Checkpoint]:
    """Rebuild a model as load_lift does, and give all that its file holds."""
    file = checkpoint_file(path)
    checkpoint = _read(file)
    return _rebuild(file, checkpoint), checkpoint


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that `path` is or holds; raises EncoderError if there is none."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise EncoderError(f"there is no LiFT checkpoint {file}; `cia train lift` writes one")
    return file


def _read(file: Path) -> Checkpoint:
    try:
        if is_zip(file):
            config, tensors = read_released(file)
            return Checkpoint(config, ORIGIN, tensors)
        with safe_open(file, framework="pt") as opened:
            about = _about(file, opened.metadata())
            # copies: where a file's numbers lie in memory differs by file and run, and some CPUs' products by that
            return Checkpoint(**about, tensors={key: opened.get_tensor(key).clone() for key in opened.keys()})
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{file} can't be read as safetensors: {error}") from error


def _about(file: Path, metadata: dict[str, str] | None) -> dict:
    """The config, the origin and the clips it saw in a file's metadata."""
    try:
        about = json.loads((metadata or {})[ENTRY])
        if not isinstance(about["config"], dict) or not isinstance(about["origin"], dict):
            raise TypeError("config and origin must be objects")
        if not isinstance(about["origin"].get("saw") or {}, dict):
            raise TypeError("saw must be an object")
        seen = SeenClips.from_json(about[SEEN]) if SEEN in about else None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise EncoderError(f"{file} is no LiFT checkpoint: its metadata has no readable entry {ENTRY!r}") from error
    return {"config": about["config"], "origin": about["origin"], "seen": seen}


def _rebuild(file: Path, checkpoint: Checkpoint) -> LiFT:
    try:
        config = LiFTConfig(**checkpoint.config)
        if config.layers > len(checkpoint.tensors):  # else made one by one, however many
            raise ConfigError(f"{config.layers} layers can't have {len(checkpoint.tensors)} tensors")
        with torch.device("meta"):  # shapes without memory, and without drawing random numbers
            model = LiFT(config)
    except (TypeError, RuntimeError, ConfigError) as error:  # torch's own are of shapes beyond 64 bits
        raise EncoderError(f"{file} has no usable LiFT config: {error}") from error
    wanted, tensors = model.state_dict(), checkpoint.tensors
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise EncoderError(f"{file} lacks tensor {some(missing)}")
    if unexpected := sorted(tensors.keys() - wanted.keys()):
        raise EncoderError(f"{file} has tensor {some(unexpected)}, which LiFT does not")
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise EncoderError(
                f"{file}: tensor {key!r} is {tuple(tensor.shape)}; the model needs {tuple(wanted[key].shape)}"
            )
        if tensor.dtype != torch.float32:
            raise EncoderError(f"{file}: tensor {key!r} is {tensor.dtype}; it should be torch.float32")
        if not tensor.isfinite().all():
            raise EncoderError(f"{file}: tensor {key!r} holds a number that is not finite")
    model.load_state_dict(tensors, assign=True)
    return model.eval()
