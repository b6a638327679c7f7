"""Save a LiFT model as one safetensors file, and rebuild it from that file alone.

The file's metadata holds one JSON entry, `lift`: the config that rebuilds the model, and the origin, which says what
sequences it was trained on. (One entry, because safetensors writes several in no fixed order.) Nothing is unpickled.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cia_bench.baselines.lift.model import LiFT, LiFTConfig
from cia_bench.errors import ConfigError, EncoderError, some
from cia_bench.files import whole_file

FILE_NAME = "lift.safetensors"
ENTRY = "lift"


def save_lift(model: LiFT, path: Path, origin: dict) -> None:
    """Write the weights as float32, the config and the origin, which must be fit for JSON, to the file `path`."""
    tensors = {key: tensor.detach().cpu().float().contiguous() for key, tensor in model.state_dict().items()}
    about = json.dumps({"config": asdict(model.config), "origin": origin}, sort_keys=True, allow_nan=False)
    with whole_file(path) as part:
        part.write_bytes(save(tensors, metadata={ENTRY: about}))  # save_file hides a full disk's OSError


def load_lift(path: Path) -> LiFT:
    """Rebuild a model, in evaluation mode on the CPU, from its file or the folder that holds one.

    Raises EncoderError naming the file, and the tensor if there is one: missing, unreadable, not a LiFT checkpoint, or
    a tensor that is missing, unexpected, of another shape or dtype, or not finite.
    """
    file = checkpoint_file(path)
    with _opened(file) as checkpoint:
        return _rebuild(file, checkpoint)


def read_origin(path: Path) -> dict:
    """What a checkpoint says of the sequences it was trained on; raises EncoderError if it is not one of LiFT."""
    file = checkpoint_file(path)
    with _opened(file) as checkpoint:
        return _about(file, checkpoint)["origin"]


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that `path` is or holds; raises EncoderError if there is none."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise EncoderError(f"there is no LiFT checkpoint {file}; `cia train lift` writes one")
    return file


@contextmanager
def _opened(file: Path) -> Iterator[safe_open]:
    try:
        with safe_open(file, framework="pt") as checkpoint:
            yield checkpoint
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{file} can't be read as safetensors: {error}") from error


def _about(file: Path, checkpoint: safe_open) -> dict:
    try:
        about = json.loads((checkpoint.metadata() or {})[ENTRY])
        if not isinstance(about["config"], dict) or not isinstance(about["origin"], dict):
            raise TypeError("config and origin must be objects")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise EncoderError(f"{file} is no LiFT checkpoint: its metadata has no readable entry {ENTRY!r}") from error
    return about


def _rebuild(file: Path, checkpoint: safe_open) -> LiFT:
    try:
        config = LiFTConfig(**_about(file, checkpoint)["config"])
    except (TypeError, ConfigError) as error:
        raise EncoderError(f"{file} has no usable LiFT config: {error}") from error
    with torch.device("meta"):  # shapes without memory, and without drawing random numbers
        model = LiFT(config)
    wanted, found = model.state_dict(), set(checkpoint.keys())
    if missing := sorted(wanted.keys() - found):
        raise EncoderError(f"{file} lacks tensor {some(missing)}")
    if unexpected := sorted(found - wanted.keys()):
        raise EncoderError(f"{file} has tensor {some(unexpected)}, which LiFT does not")
    tensors = {}
    for key, tensor in wanted.items():
        shape = tuple(checkpoint.get_slice(key).get_shape())
        if shape != tuple(tensor.shape):
            raise EncoderError(f"{file}: tensor {key!r} is {shape}; the model needs {tuple(tensor.shape)}")
        tensors[key] = checkpoint.get_tensor(key)
        if tensors[key].dtype != torch.float32:
            raise EncoderError(f"{file}: tensor {key!r} is {tensors[key].dtype}; it should be torch.float32")
        if not tensors[key].isfinite().all():
            raise EncoderError(f"{file}: tensor {key!r} holds a number that is not finite")
    model.load_state_dict(tensors, assign=True)
    return model.eval()
