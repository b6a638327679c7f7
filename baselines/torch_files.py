"""Read the tensors of a file that torch.save wrote, without trusting it.

It is a zip: `data.pkl` in it describes the tensors and what was saved with them; the numbers lie beside it, a file a
storage. The description is a pickle, a program that would import and call whatever it names. Here it is never run: its
instructions are listed by pickletools, and only those that tell of dicts and tensors are followed.
"""

from dataclasses import dataclass
from pathlib import Path
from pickletools import genops, markobject
from types import TracebackType
from zipfile import ZipFile

import torch
from torch import Tensor

from cia_bench.errors import EncoderError

MOST_DESCRIBED = 2**24  # bytes of data.pkl; those of models have some ten to some hundred thousand
PROTOCOL = b"\x80\x02"  # 2: its instructions are fewer than those of later ones
DTYPES = {  # of storages
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,  # of places, which older models of transformers saved
}


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


class TorchFile:
    """A file of torch.save, open: `content` is what it describes, and `read` gives a tensor's numbers.

    In `content` a dict is a dict, with None for each key that is no text; a tensor is a Stored; a tuple, a text and a
    number are themselves; a class or function is its module and name, as text; anything else is None.

    Raises EncoderError naming the file if it is damaged, or no such zip.
    """

    def __init__(self, file: Path):
        self.file, self._storages = file, {}
        try:
            self._archive = ZipFile(file)
        except Exception as error:  # a damaged zip or pickle makes their readers raise nearly anything
            raise self._unreadable(error) from error
        try:
            self._prefix, self.content = self._describe()
        except EncoderError:
            self._archive.close()
            raise
        except Exception as error:
            self._archive.close()
            raise self._unreadable(error) from error

    def __enter__(self) -> "TorchFile":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._archive.close()

    def _unreadable(self, error: Exception) -> EncoderError:
        return EncoderError(f"{self.file} can't be read as a checkpoint of torch: {type(error).__name__}: {error}")

    def _describe(self) -> tuple[str, object]:
        """The folder inside the zip, and what the description says."""
        entries = self._archive.infolist()
        if sum(entry.file_size for entry in entries) > self.file.stat().st_size:
            raise EncoderError(f"{self.file} holds more than its size; torch packs nothing")
        descriptions = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(descriptions) != 1:
            raise EncoderError(
                f"{self.file} is no checkpoint of torch: it is a zip with {len(descriptions)} data.pkl, not one"
            )
        (description,) = descriptions
        if description.file_size > MOST_DESCRIBED:
            raise EncoderError(
                f"{self.file} has a data.pkl of {description.file_size:,} bytes; a checkpoint's is short"
            )
        return description.filename.removesuffix("data.pkl"), _described(self._archive.read(description))

    def read(self, key: str, stored: Stored) -> Tensor:
        """The numbers of a tensor, called `key` in messages; one storage is read once, whoever shares it.

        Raises EncoderError if its numbers are damaged, of another kind than DTYPES, or not in one piece.
        """
        if stored.kind not in DTYPES:
            kinds = ", ".join(DTYPES)
            raise EncoderError(f"{self.file}: tensor {key!r} is of {stored.kind}; it should be one of {kinds}")
        if stored.storage not in self._storages:
            try:
                content = self._archive.read(f"{self._prefix}data/{stored.storage}")  # which checks the CRC-32
                numbers = torch.frombuffer(bytearray(content), dtype=DTYPES[stored.kind])
                self._storages[stored.storage] = numbers.clone()  # to where torch puts its own: products may hang on it
            except Exception as error:
                raise self._unreadable(error) from error
        return _view(self.file, key, stored, self._storages[stored.storage])


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
    """What a pickle of torch.save describes (see TorchFile): nothing is imported, called or hashed but text."""
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
