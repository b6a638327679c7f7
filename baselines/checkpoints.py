"""Find a transformers model's weights, and load them with proof: each tensor of the model is the file's.

transformers renames and converts tensors as it loads them, and has filled in zeros or random numbers where that went
wrong. So the files are read here, by safetensors or, a pickle, by `torch_files`, which never runs it; transformers
builds the model from what was read; and then each tensor of the model is compared with the file's of that name.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cia_bench.baselines.preprocessing import read_config
from cia_bench.baselines.torch_files import Stored, TorchFile, is_zip
from cia_bench.encoders import Card
from cia_bench.errors import EncoderError, some

HUB = "https://huggingface.co"
CONFIGS = ("config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there, whole or in shards, counts
ONE_NAME = (  # what transformers calls differently in files, models and versions of itself, and a name for all
    (r"^(vision_model|videomae|timesformer|vivit)\.", ""),
    (r"\.attention\.attention\.", ".attention."),
    (r"\.attention\.([qv])_bias$", r".attention.\1_proj.bias"),
    (r"\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.mlp\.weights_out\.", ".mlp.down_proj."),
    (r"^(encoder|model)\.layer\.", "layers."),
    (r"^layer\.", "layers."),
)
JOINED = re.compile(r"\.mlp\.weights_in\.")  # two tensors of newer models, one below the other
APART = (".mlp.gate_proj.", ".mlp.up_proj.")
DEPTHS = ("num_hidden_layers", "pred_num_hidden_layers", "num_spatial_layers", "num_temporal_layers")


@dataclass(frozen=True)
class Layout:
    """How a file names the tensors of a model, which may be a part of all that the file holds."""

    tower: str = ""  # what stands before the names of a tower's tensors, as a regular expression; it is cut off
    left_out: tuple[str, ...] = ()  # how the names of other parts begin: decoders, heads, text encoders
    tables: tuple[str, ...] = ()  # tensors of the file that replace what the model computes, and its class doesn't load


def find_weights(card: Card, given: str | None) -> Path:
    """The folder of weights: the one that is given, or fetched from the hub (kept in its cache).

    `given` may also be a hub id. Raises EncoderError, which says what to download if the hub can't be reached.
    """
    if given is None and card.hub_id is None:
        file = card.url.rpartition("/")[2]
        raise EncoderError(
            f"there is no hub page to load from; download {card.url}, make a folder of it with cia convert "
            f"{card.converter} {file} --out DIR, and give --weights MODEL=DIR"
        )
    place, revision = (given, None) if given else (card.hub_id, card.revision)
    folder = Path(place)
    if given and folder.is_dir():
        return folder
    looks_like_hub_id = place.count("/") == 1 and not place.startswith((".", "/", "~"))
    if not looks_like_hub_id:
        raise EncoderError(f"weights folder {place} does not exist")
    try:
        return _fetched(place, revision)
    except Exception as error:  # no network, no such page, no permission: each library below has its own
        page = f"{HUB}/{place}/tree/{revision or 'main'}"
        raise EncoderError(
            f"can't get the weights {place} from the hub: {_first_line(error)}; download config.json, the "
            f"preprocessor's .json and the weights from {page} into a folder, and give --weights MODEL=DIR"
        ) from error


def _fetched(place: str, revision: str | None) -> Path:
    """The folder of a hub page's files, as far as they are needed: not the same weights in two forms."""
    from huggingface_hub import snapshot_download

    for name in WEIGHTS:
        stem, _, kind = name.rpartition(".")
        patterns = [*CONFIGS, name, f"{stem}-*-of-*.{kind}", f"{name}.index.json"]
        folder = Path(snapshot_download(place, revision=revision, allow_patterns=patterns))
        if any((folder / file).is_file() for file in (name, f"{name}.index.json")):
            break
    return folder


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def weight_files(folder: Path) -> list[str]:
    """The names of the files that hold a folder's weights.

    Raises EncoderError if there is none, or if one is missing that the index of the others names.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    raise EncoderError(f"weights folder {folder} holds no {' or '.join(WEIGHTS)}")


def _shards(index: Path) -> list[str]:
    weight_map = read_config(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise EncoderError(f"{index} has no weight_map of tensors and files")
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise EncoderError(f"{index} names {name!r}, which is no file beside it")
        if not (index.parent / name).is_file():
            raise EncoderError(f"{index.parent} lacks {name}, which {index.name} names; download it too")
    return names


def refuse_other_architecture(folder: Path, model_types: tuple[str, ...]) -> None:
    """Raise EncoderError unless the folder's config.json says that its weights are of one of these architectures."""
    config = read_config(folder / "config.json")
    if config.get("model_type") not in model_types:
        wanted = " or ".join(map(repr, model_types))
        raise EncoderError(f"{folder} holds a model of type {config.get('model_type')!r}, not {wanted}")


def load_config(config_class: type, folder: Path):
    """A transformers config from a folder; raises EncoderError if its numbers make no sense."""
    try:
        return config_class.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # each config checks in its own way
        raise EncoderError(f"{folder / 'config.json'} makes no model: {_first_line(error)}") from error


def load_proven(model_class: type, config, folder: Path, layout: Layout, options: dict) -> nn.Module:
    """Build a transformers model from a folder's weights, as float32, in evaluation mode, on the CPU.

    `options` are of the class's constructor.

    Raises EncoderError naming the tensor if one is missing, unexpected, of another shape, or not the file's.
    """
    tensors = _read_own(folder, layout)
    to_load = {name: tensor for name, tensor in tensors.items() if name not in layout.tables}
    model = _built(model_class, config, folder, to_load, options)
    for name in layout.tables:
        if name not in tensors:
            raise EncoderError(f"{folder} lacks tensor {name!r}")
        module, _, attribute = name.rpartition(".")
        wanted = getattr(model.get_submodule(module), attribute)
        if tensors[name].shape == wanted.shape:  # else refused below, by its name
            setattr(model.get_submodule(module), attribute, tensors[name])
    prove(model, tensors, folder)
    _prove_computed(model, partial(model_class, **options), config, layout.tables, folder)
    return model.eval()


def _read_own(folder: Path, layout: Layout) -> dict[str, Tensor]:
    """The model's own tensors by their names, as float32 where they are floating."""
    tensors = {}
    for file in weight_files(folder):
        read = _read_torch if file.endswith(".bin") else _read_safetensors
        for name, tensor in read(folder / file, lambda name: not name.startswith(layout.left_out)).items():
            own = re.sub(f"^(?:{layout.tower})", "", name)
            if own in tensors:
                raise EncoderError(f"{folder} has tensor {own!r} twice")
            tensors[own] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


def _read_safetensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys() if wanted(name)}
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path} can't be read as safetensors: {error}") from error


def _read_torch(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    if not is_zip(path):
        raise EncoderError(f"{path} is no zip of torch, whose pickle would have to be run; take safetensors")
    with TorchFile(path) as opened:
        stored = opened.content if isinstance(opened.content, dict) else {}
        names = [name for name, tensor in stored.items() if isinstance(name, str) and wanted(name)]
        strange = [name for name in names if not isinstance(stored[name], Stored)]
        if strange or not names:
            raise EncoderError(f"{path} is not a dict of tensors alone: {some(strange) if strange else 'it has none'}")
        return {name: opened.read(name, stored[name]) for name in names}


def _built(model_class: type, config, folder: Path, tensors: dict[str, Tensor], options: dict) -> nn.Module:
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its warnings are our refusals
    logging.disable_progress_bar()
    try:
        return model_class.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32, ignore_mismatched_sizes=True, **options
        )
    except Exception as error:  # a config that fits no tensor makes the libraries below raise nearly anything
        raise EncoderError(f"{folder} can't be loaded: {_first_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def one_name(name: str) -> str:
    """The name of a tensor, whichever version of transformers gave it."""
    for pattern, replacement in ONE_NAME:
        name = re.sub(pattern, replacement, name)
    return name


def prove(model: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Raise EncoderError, naming the first, unless the model's tensors and these are the same, number for number."""
    computed, saved = _computed(model), model.state_dict()
    own = {one_name(name): tensor for name, tensor in {**computed, **saved}.items()}
    of_model = {one_name(name) for name in computed}
    tensors = _apart(tensors, own)
    given = {one_name(name): name for name in tensors}
    missing = sorted(own.keys() - given.keys() - of_model)
    unexpected = sorted(given[name] for name in given.keys() - own.keys())
    for what, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            raise EncoderError(f"{folder}: {len(names)} {what} tensors, the first {names[0]}")
    if len(given) != len(tensors) or len(own) != len(computed) + len(saved):
        raise EncoderError(f"{folder}: two tensors are called alike; this version of transformers is not known here")
    for name, called in sorted(given.items()):
        _prove_same(tensors[called], own[name].cpu(), called, name in of_model, folder)


def _prove_same(given: Tensor, own: Tensor, called: str, is_computed: bool, folder: Path) -> None:
    if given.shape != own.shape:
        raise EncoderError(f"{folder}: tensor {called} is {tuple(given.shape)}; the model needs {tuple(own.shape)}")
    if given.dtype != own.dtype:
        raise EncoderError(f"{folder}: tensor {called} is {given.dtype}; the model needs {own.dtype}")
    if not torch.equal(given, own):
        if is_computed:
            raise EncoderError(f"{folder}: tensor {called} is not what the model computes for it")
        raise EncoderError(f"{folder}: transformers did not load tensor {called} as it is; another version may")


def _apart(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with those of JOINED cut in two if the model has them so."""
    apart = {}
    for name, tensor in tensors.items():
        names = [JOINED.sub(part, name) for part in APART]
        if JOINED.search(name) and one_name(names[0]) in own and len(tensor) % 2 == 0:
            apart |= dict(zip(names, tensor.chunk(2), strict=True))
        else:
            apart[name] = tensor
    return apart


def _computed(model: nn.Module) -> dict[str, Tensor]:
    """Tensors that a model computes and no file holds: buffers that are not saved, and plain attributes."""
    saved, computed = model.state_dict().keys(), {}
    for place, module in model.named_modules():
        for name, value in {**vars(module), **module._buffers}.items():
            full = f"{place}.{name}" if place else name
            if isinstance(value, Tensor) and full not in saved:
                computed[full] = value
    return computed


def _prove_computed(model: nn.Module, build: Callable, config, replaced: tuple[str, ...], folder: Path) -> None:
    """Raise EncoderError unless computed tensors are those of a model that was never loaded, with a layer each."""
    shallow = copy.deepcopy(config)
    for depth in DEPTHS:
        if hasattr(shallow, depth):
            setattr(shallow, depth, 1)
    with torch.random.fork_rng(devices=[]):
        fresh = _computed(build(shallow))
    for name, tensor in _computed(model).items():
        same = re.sub(r"\.\d+\.", ".0.", name)  # of whichever layer
        if name not in replaced and not (same in fresh and torch.equal(fresh[same], tensor.cpu())):
            raise EncoderError(f"{folder}: transformers did not compute {name} as it should; another version may")
