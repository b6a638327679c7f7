"""Read the checkpoint that LiFT's authors released, without trusting it.

It is a zip that torch wrote for PyTorch Lightning: `data.pkl` in it describes the tensors, among them `state_dict`, and
what the training was; the numbers lie beside it, a file a storage. The description is a pickle, a program that would
import and call whatever it names. Here it is never run: its instructions are listed by pickletools, and only those that
tell of dicts and tensors are followed. The authors' code says the rest (arXiv 2509.08502).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from pickletools import genops, markobject
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from cia_bench.baselines.image_models import IMAGENET_MEAN, IMAGENET_STD
from cia_bench.baselines.lift.model import time_codes
from cia_bench.errors import EncoderError

ORIGIN = {  # as the paper and the released code say; the file does not tell, and so not which weights the encoder had
    "encoder": "dinov2-small-reg",
    "frames": {
        "count": 16,
        "size": 224,
        "short_side": 256,
        "filter": "bicubic",
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "layout": "TCHW",
    },
}
MOST_DESCRIBED = 2**24  # bytes of data.pkl; theirs has some ten thousand
PROTOCOL = b"\x80\x02"  # 2: its instructions are fewer than those of later ones
PREFIX = "model."  # of each key
TABLE, TABLE_LENGTH = "encoder.pos_encoder.pe", 5000
INPUT = "encoder.input_proj.weight"
LAYER = re.compile(r"encoder\.transformer\.layers\.(\d+)\.")
# The table's angles were made in float32, so that of frame t is wrong by about 1e-7 t; ours are float64.
TABLE_TOLERANCE = 5e-7


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies: in which storage, from which of its numbers on, and how."""

    kind: str  # of the storage, for example torch FloatStorage
    storage: str
    offset: int
    shape: tuple
    stride: tuple


def is_zip(file: Path) -> bool:
    """Whether a file begins as a zip does; a safetensors file that did would have a header of 67 MB."""
    with file.open("rb") as opened:
        return opened.read(4) == b"PK\x03\x04"


def read_released(file: Path) -> tuple[dict, dict[str, Tensor]]:
    """The settings of LiFTConfig that the shapes tell, and the tensors by LiFT's own names, without the time codes.

    The heads are in no shape; they are as published, LiFTConfig's own. What the model needs is not checked here.

    Raises EncoderError naming the file, and the tensor if there is one: damaged, no `state_dict` of float32 tensors, or
    a table of time codes that is missing or not LiFT's.
    """
    try:
        with ZipFile(file) as archive:
            tensors = _read_tensors(file, archive)
    except EncoderError:
        raise
    except Exception as error:  # a damaged zip or pickle makes their readers raise nearly anything
        raise EncoderError(f"{file} can't be read as a checkpoint of torch: {type(error).__name__}: {error}") from error
    for key in (INPUT, TABLE):
        if key not in tensors:
            raise EncoderError(f"{file} lacks tensor {PREFIX + key!r}")
    if tensors[INPUT].ndim != 2:
        raise EncoderError(f"{file}: tensor {PREFIX + INPUT!r} is {tuple(tensors[INPUT].shape)}, not (width, features)")
    width, feature_dim = tensors[INPUT].shape
    _check_table(file, tensors.pop(TABLE), width)
    layers = {match[1] for match in map(LAYER.match, tensors) if match}
    return {"feature_dim": feature_dim, "width": width, "layers": len(layers)}, tensors


def _check_table(file: Path, table: Tensor, width: int) -> None:
    shape = (1, TABLE_LENGTH, width)
    if tuple(table.shape) != shape:
        raise EncoderError(f"{file}: tensor {PREFIX + TABLE!r} is {tuple(table.shape)}; the model needs {shape}")
    error = (table[0] - time_codes(TABLE_LENGTH, width)).abs()  # (5000, W)
    if not (error <= TABLE_TOLERANCE * torch.arange(1, TABLE_LENGTH + 1)[:, None]).all():
        raise EncoderError(f"{file}: tensor {PREFIX + TABLE!r} holds other time codes than LiFT's")


def _read_tensors(file: Path, archive: ZipFile) -> dict[str, Tensor]:
    """The tensors of `state_dict`, without the prefix of their keys; one storage is read once, whoever shares it."""
    if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
        raise EncoderError(f"{file} holds more than its size; torch packs nothing")
    descriptions = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
    if len(descriptions) != 1:
        raise EncoderError(f"{file} is no LiFT checkpoint: it is a zip with {len(descriptions)} data.pkl, not one")
    (description,) = descriptions
    if description.file_size > MOST_DESCRIBED:
        raise EncoderError(f"{file} has a data.pkl of {description.file_size:,} bytes; a LiFT checkpoint's is short")
    described = _described(archive.read(description))
    state = described.get("state_dict") if isinstance(described, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Stored) for tensor in state.values()):
        raise EncoderError(f"{file} is no LiFT checkpoint: it has no state_dict of names and tensors")
    storages, tensors = {}, {}
    for key, stored in state.items():
        if key is None or not key.startswith(PREFIX):
            raise EncoderError(f"{file} has tensor {key!r}, which LiFT does not; its own begin with {PREFIX}")
        if stored.kind != "torch FloatStorage":
            raise EncoderError(f"{file}: tensor {key!r} is of {stored.kind}; it should be of torch FloatStorage")
        if stored.storage not in storages:
            name = f"{description.filename.removesuffix('data.pkl')}data/{stored.storage}"
            content = archive.read(name)  # which checks the CRC-32, here as above
            numbers = np.frombuffer(content, "<f4").astype(np.float32)  # a copy that torch may write to
            storages[stored.storage] = torch.from_numpy(numbers)
        tensors[key.removeprefix(PREFIX)] = _view(file, key, stored, storages[stored.storage])
    return tensors


def _view(file: Path, key: str, stored: Stored, numbers: Tensor) -> Tensor:
    """A tensor as a part of its storage; refused unless it lies there in one piece, number after number."""
    count, in_one_piece = 1, True
    for size, stride in reversed(list(zip(stored.shape, stored.stride, strict=True))):
        in_one_piece &= isinstance(size, int) and size > 0 and (size == 1 or stride == count)
        count = count * size if in_one_piece else 0
    if not in_one_piece or not 0 <= stored.offset <= len(numbers) - count:
        raise EncoderError(f"{file}: tensor {key!r} does not lie in one piece inside its storage")
    return numbers[stored.offset : stored.offset + count].view(stored.shape)


def _described(pickled: bytes) -> object:
    """What a pickle of torch.save describes, found without running it: nothing is imported, called or hashed but text.

    A dict is a dict, with None for each key that is no text; a tensor is a Stored; a tuple, a text and a number are
    themselves; a class or function is its module and name, as text; anything else is None.
    """
    if not pickled.startswith(PROTOCOL):
        raise ValueError("its data.pkl is of another protocol than torch.save writes")
    stack, marks, memo = [], [], {}
    for instruction, value, _ in genops(pickled):
        takes = instruction.stack_before
        if markobject in takes:
            start = marks.pop() - takes.index(markobject)
        else:
            start = len(stack) - len(takes)
        if start < 0:
            raise ValueError("its description takes more than was there")
        taken = stack[start:]
        del stack[start:]
        match instruction.name:
            case "STOP":
                return taken[0]
            case "MARK":
                marks.append(len(stack))
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE" | "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(taken))
            case "SETITEM" | "SETITEMS":
                stack.append(_filled(*taken))
            case "REDUCE":
                stack.append(_made(*taken))
            case "BINPERSID" | "BUILD":  # the tuple that names a storage; an object whose state says nothing of tensors
                stack.append(taken[0])
            case _:
                stack.extend([value] * len(instruction.stack_after))
    raise ValueError("its description does not end")


def _filled(target: object, *items: object) -> object:
    if isinstance(target, dict):
        target |= {key if isinstance(key, str) else None: value for key, value in zip(*[iter(items)] * 2, strict=True)}
    return target


def _made(function: object, arguments: object) -> dict | Stored | None:
    """What a function that the description names would make, if that is a dict or a tensor."""
    match function, arguments:
        case "collections OrderedDict", _:
            return {}
        case "torch._utils _rebuild_tensor_v2", (
            ("storage", str(kind), str(storage), *_),
            int(offset),
            tuple(shape),
            tuple(stride),
            *_,
        ):
            return Stored(kind, storage, offset, shape, stride)
    return None
