"""Turn the checkpoint of V-JEPA (1) that its authors released into a folder that transformers' VideoMAE class loads.

V-JEPA's encoder is a plain video transformer (arXiv 2404.08471): tubelets of 2 x 16 x 16 pixels, a fixed table of
positions, blocks that normalise before attention and MLP, a norm at the end, no class token. VideoMAE's is the same
but for its table, which the folder therefore holds, and for a bias of the keys, which it lacks: that bias adds one
number to all of a query's scores, and softmax does not see it.
"""

import json
import math
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from cia_bench.baselines.converting import refuse_no_zip, write_converted
from cia_bench.baselines.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from cia_bench.baselines.torch_files import Stored, TorchFile
from cia_bench.errors import EncoderError, some
from cia_bench.files import sha256_of

ENCODER = "target_encoder"  # the averaged one, whose features the authors evaluate
PREFIX = re.compile(r"^(module\.)?(backbone\.)?")
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}  # by width, in the released code
FRAMES, TUBELET = 16, 2
EPS = 1e-6  # of its norms
TABLE, PATCHES = "pos_embed", "patch_embed.proj.weight"
OF_BLOCK = {  # theirs and VideoMAE's; qkv is cut in three
    "norm1.weight": "layernorm_before.weight",
    "norm1.bias": "layernorm_before.bias",
    "attn.proj.weight": "attention.output.dense.weight",
    "attn.proj.bias": "attention.output.dense.bias",
    "norm2.weight": "layernorm_after.weight",
    "norm2.bias": "layernorm_after.bias",
    "mlp.fc1.weight": "intermediate.dense.weight",
    "mlp.fc1.bias": "intermediate.dense.bias",
    "mlp.fc2.weight": "output.dense.weight",
    "mlp.fc2.bias": "output.dense.bias",
}
OF_ALL = {
    PATCHES: "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    TABLE: "embeddings.position_embeddings",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}


def convert(file: Path, out: Path) -> str:
    """Write the encoder in `file` as a folder of VideoMAE's layout, `out`; returns what came of it in words.

    The converter behind `cia convert vjepa`. The file is a pickle, which is not run (see torch_files).

    Raises EncoderError if `file` is not such a checkpoint, naming the tensor if there is one that is missing, left over
    or of another shape, or if `out` holds another checkpoint; and WriteError.
    """
    refuse_no_zip(file, "V-JEPA")
    theirs = _read(file)
    config = _config(file, theirs)
    ours = _renamed(file, theirs, config)
    config["converted_from"] = {"name": file.name, "sha256": sha256_of(file)}
    contents = {
        "model.safetensors": save(ours, metadata={"format": "pt"}),
        "preprocessor_config.json": _as_json(_preprocessing(config["image_size"])),
        "config.json": _as_json(config),
    }
    write_converted(out, contents, seal="config.json")
    parameters = sum(tensor.numel() for name, tensor in ours.items() if name != OF_ALL[TABLE])
    side = config["image_size"]
    return f"{parameters:,} parameters in {config['num_hidden_layers']} layers, for {FRAMES} frames of {side} pixels"


def _as_json(content: dict) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of the averaged encoder, by their names without prefix, as float32."""
    with TorchFile(file) as opened:
        state = opened.content.get(ENCODER) if isinstance(opened.content, dict) else None
        if not isinstance(state, dict) or not state or not all(isinstance(one, Stored) for one in state.values()):
            raise EncoderError(f"{file} is no V-JEPA checkpoint: it has no {ENCODER} of names and tensors")
        if None in state:
            raise EncoderError(f"{file}: a tensor of {ENCODER} has a name that is no text")
        return {PREFIX.sub("", key): opened.read(key, stored).float() for key, stored in state.items()}


def _config(file: Path, theirs: dict[str, Tensor]) -> dict:
    """VideoMAE's config of the shapes; the heads are in none, and are those of the released code for that width."""
    for name, dimensions in ((PATCHES, 5), (TABLE, 3)):
        if name not in theirs:
            raise EncoderError(f"{file} lacks tensor {name!r} in {ENCODER}")
        if theirs[name].ndim != dimensions:
            raise EncoderError(
                f"{file}: tensor {name!r} is {tuple(theirs[name].shape)}, not of {dimensions} dimensions"
            )
    width, channels, tubelet, patch, _ = theirs[PATCHES].shape
    tokens = theirs[TABLE].shape[1]
    grid = math.isqrt(tokens * TUBELET // FRAMES)
    if grid * grid * FRAMES // TUBELET != tokens or tubelet != TUBELET:
        raise EncoderError(f"{file} has {tokens} positions, tubelets of {tubelet} frames: not {FRAMES} square frames")
    if width not in HEADS:
        raise EncoderError(f"{file} is {width} wide; V-JEPA's encoders are {', '.join(map(str, HEADS))}")
    layers = {match[1] for match in (re.match(r"blocks\.(\d+)\.", name) for name in theirs) if match}
    first = theirs.get("blocks.0.mlp.fc1.weight")
    if first is None:
        raise EncoderError(f"{file} lacks tensor 'blocks.0.mlp.fc1.weight' in {ENCODER}")
    return {
        "model_type": "videomae",
        "architectures": ["VideoMAEModel"],
        "image_size": grid * patch,
        "patch_size": patch,
        "num_channels": channels,
        "num_frames": FRAMES,
        "tubelet_size": TUBELET,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": HEADS[width],
        "intermediate_size": len(first),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": EPS,
        "qkv_bias": True,
        "use_mean_pooling": False,  # so that the norm at the end is there
    }


def _renamed(file: Path, theirs: dict[str, Tensor], config: dict) -> dict[str, Tensor]:
    """VideoMAE's tensors as its hub pages name them, with the table of positions.

    Raises EncoderError for one that is missing, left over, not finite or of a shape that does not fit the width.
    """
    wanted = dict(OF_ALL)
    for layer in range(config["num_hidden_layers"]):
        wanted |= {f"blocks.{layer}.{name}": f"encoder.layer.{layer}.{ours}" for name, ours in OF_BLOCK.items()}
    joined = {f"blocks.{n}.attn.qkv.{part}" for n in range(config["num_hidden_layers"]) for part in ("weight", "bias")}
    missing = sorted((wanted.keys() | joined) - theirs.keys())
    unexpected = sorted(theirs.keys() - wanted.keys() - joined)
    for what, names in (("lacks", missing), ("has", unexpected)):
        if names:
            raise EncoderError(f"{file} {what} tensor {some(names)} in {ENCODER}; V-JEPA's encoder is another")
    width, hidden = config["hidden_size"], config["intermediate_size"]
    ours = {}
    for name, tensor in theirs.items():
        shape = _shape(name, width, hidden, theirs[PATCHES].shape, theirs[TABLE].shape)
        if tuple(tensor.shape) != shape:
            raise EncoderError(f"{file}: tensor {name!r} is {tuple(tensor.shape)}; its width wants {shape}")
        if not tensor.isfinite().all():
            raise EncoderError(f"{file}: tensor {name!r} holds a number that is not finite")
        if name in wanted:
            ours[wanted[name]] = tensor
    for name in joined:
        layer, part = name.split(".")[1], name.rpartition(".")[2]
        query, key, value = theirs[name].chunk(3)
        place = f"encoder.layer.{layer}.attention.attention."
        if part == "weight":
            ours |= {f"{place}query.weight": query, f"{place}key.weight": key, f"{place}value.weight": value}
        else:
            ours |= {f"{place}q_bias": query, f"{place}v_bias": value}
    return {name: tensor.contiguous().clone() for name, tensor in sorted(ours.items())}


def _shape(name: str, width: int, hidden: int, patches: torch.Size, table: torch.Size) -> tuple[int, ...]:
    """What a tensor of that name must be: weights are (out, in)."""
    if name == PATCHES:
        return tuple(patches)
    if name == TABLE:
        return 1, table[1], width
    out = {"qkv": 3 * width, "fc1": hidden}.get(name.split(".")[-2], width)
    if name.endswith(".bias") or "norm" in name:
        return (out,)
    return out, hidden if "fc2" in name else width


def _preprocessing(side: int) -> dict:
    """As its authors evaluate: the short side a little larger than the square that is cut, values as ImageNet's."""
    return {
        "do_resize": True,
        "size": {"shortest_edge": side * 256 // 224},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
    }
