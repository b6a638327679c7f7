"""Read the checkpoint that LiFT's authors released: PyTorch Lightning's, with the model's tensors under `state_dict`.

The authors' code says what the file does not (arXiv 2509.08502).
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from cia_bench.baselines.lift.model import time_codes
from cia_bench.baselines.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from cia_bench.baselines.torch_files import Stored, TorchFile
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
    "saw": {"kinetics": "clips"},
}
PREFIX = "model."  # of each key
TABLE, TABLE_LENGTH = "encoder.pos_encoder.pe", 5000
INPUT = "encoder.input_proj.weight"
LAYER = re.compile(r"encoder\.transformer\.layers\.(\d+)\.")
# The table's angles were made in float32, so that of frame t is wrong by about 1e-7 t; ours are float64.
TABLE_TOLERANCE = 5e-7


def read_released(file: Path) -> tuple[dict, dict[str, Tensor]]:
    """The settings of LiFTConfig that the shapes tell, and the tensors by LiFT's own names, without the time codes.

    The heads are in no shape; they are as published, LiFTConfig's own. What the model needs is not checked here.

    Raises EncoderError naming the file, and the tensor if there is one: damaged, no `state_dict` of float32 tensors, or
    a table of time codes that is missing or not LiFT's.
    """
    tensors = _read_tensors(file)
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


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of `state_dict`, without the prefix of their keys."""
    with TorchFile(file) as opened:
        state = opened.content.get("state_dict") if isinstance(opened.content, dict) else None
        if not isinstance(state, dict) or not all(isinstance(tensor, Stored) for tensor in state.values()):
            raise EncoderError(f"{file} is no LiFT checkpoint: it has no state_dict of names and tensors")
        for key in state:
            if key is None or not key.startswith(PREFIX):
                raise EncoderError(f"{file} has tensor {key!r}, which LiFT does not; its own begin with {PREFIX}")
        return {key.removeprefix(PREFIX): opened.read(key, stored) for key, stored in state.items()}
