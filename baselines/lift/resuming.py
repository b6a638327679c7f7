"""Keep a training on disk so that a killed one goes on: one safetensors file, replaced whole, nothing pickled.

The file's tensors are the model, the best one so far, what the optimiser remembers, and the random states; its metadata
holds one JSON entry, `training`: the settings, the origin and where the training stands.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cia_bench.errors import TrainingError
from cia_bench.files import whole_file

STATE_NAME = "unfinished.safetensors"
ENTRY = "training"


def save_state(path: Path, tensors: dict[str, dict[str, Tensor]], about: dict) -> None:
    """Write tensors by part and name, and what JSON can tell; raises OSError from the disk."""
    flat = {
        f"{part}/{name}": tensor.detach().cpu().contiguous()
        for part, named in tensors.items()
        for name, tensor in named.items()
    }
    with whole_file(path) as scratch:
        scratch.write_bytes(save(flat, metadata={ENTRY: json.dumps(about, allow_nan=False)}))


def read_about(path: Path) -> dict:
    """What the file tells without its tensors; raises TrainingError if it can't be read."""
    return _read(path, lambda file: json.loads(file.metadata()[ENTRY]))


def read_state(path: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors by part and name; raises TrainingError if they can't be read."""

    def parts(file: safe_open) -> dict[str, dict[str, Tensor]]:
        found = {}
        for key in file.keys():
            part, _, name = key.partition("/")
            found.setdefault(part, {})[name] = file.get_tensor(key)
        return found

    return _read(path, parts)


def _read(path: Path, what):
    try:
        with safe_open(path, framework="pt") as file:
            return what(file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} can't be gone on with ({error}); delete it to begin anew") from error


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What Adam remembers of each parameter, by number and name."""
    state = optimiser.state_dict()["state"]
    return {f"{number}/{name}": tensor for number, named in state.items() for name, tensor in named.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give Adam back what `optimiser_tensors` told; raises KeyError or ValueError if that is of another model."""
    (group,) = optimiser.state_dict()["param_groups"]
    state = {}
    for number, parameter in zip(group["params"], optimiser.param_groups[0]["params"], strict=True):
        state[number] = {name: tensors[f"{number}/{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        if not state[number]["exp_avg"].shape == state[number]["exp_avg_sq"].shape == parameter.shape:
            raise ValueError(f"what Adam remembers of parameter {number} does not fit the model")
    optimiser.load_state_dict({"state": state, "param_groups": [group]})
