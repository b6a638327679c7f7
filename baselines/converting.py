"""What converters of released checkpoints share: which file they take, and how they write what they made of it."""

from collections.abc import Mapping
from pathlib import Path

from cia_bench.baselines.torch_files import is_zip
from cia_bench.errors import EncoderError
from cia_bench.files import whole_files


def refuse_no_zip(file: Path, whose: str) -> None:
    """Raise EncoderError unless `file` is there and a zip, as torch writes."""
    if not file.is_file() or not is_zip(file):
        raise EncoderError(f"{file} is no file like the checkpoint that {whose}'s authors released, a zip of torch")


def write_converted(out: Path, contents: Mapping[str, bytes], seal: str) -> None:
    """Write files into `out`, `seal` last; nothing if all are there with the same content.

    Raises EncoderError, and changes nothing, if one is there with another content; and WriteError.
    """
    same = {name: (out / name).read_bytes() == content for name, content in contents.items() if (out / name).exists()}
    if not all(same.values()):
        raise EncoderError(f"{out} holds another checkpoint; delete it or choose another --out")
    if len(same) < len(contents):
        with whole_files(out, seal=seal) as scratch:
            for name, content in contents.items():
                (scratch / name).write_bytes(content)
