"""Time the models of transformers with the frames of several clips at once, beside one clip at a time.

    python benchmarks/encoders.py [DEVICE]

Weights are random: the numbers mean nothing, the work is that of the real models of the same shape, which are saved
here as checkpoints and loaded as any other. Frames are ready in memory, so that neither decoding nor preprocessing
counts. bfloat16 is torch.autocast, as `--precision bfloat16` runs it; `compiled` is the same through torch.compile,
where there is a compiler for the device; extraction does not use it. Gains are over one clip at a time in float32.
"""

import copy
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from cia_bench.encoders import load_encoder
from cia_bench.inference import BATCH, Embedder

SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
CHECKPOINTS = {
    "dinov2-small-reg": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**SMALL, image_size=518, patch_size=14, num_register_tokens=4)
    ),
    "clip-b32": lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**BASE, patch_size=32)),
    "videomae-base": lambda: transformers.VideoMAEModel(transformers.VideoMAEConfig(**BASE, use_mean_pooling=False)),
}
PREPROCESSING = {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "resample": 3}
TRIES = 2
ON_A_CPU = 4  # clips, and at once: more take minutes


def save(name: str, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        CHECKPOINTS[name]().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    return folder


def seconds_a_clip(embedder: Embedder, clips: np.ndarray) -> float:
    started = time.perf_counter()
    embedder(clips)  # which ends with the embeddings in the CPU's memory
    return (time.perf_counter() - started) / len(clips)


def ways(name: str, folder: Path, device: str) -> dict[str, Embedder]:
    """Each way to run one model, by what it is called."""
    encoder = load_encoder(name, str(folder), device)
    several = ON_A_CPU if device == "cpu" else BATCH
    found = {
        f"{precision}, {at_once} at once": Embedder(name, encoder, device, precision, at_once)
        for precision in ("float32", "bfloat16")
        for at_once in (1, several)
    }
    if device.startswith("cuda") or shutil.which("g++"):
        compiled = copy.copy(encoder)
        compiled.model = torch.compile(encoder.model)
        found[f"bfloat16, {several} at once, compiled"] = Embedder(name, compiled, device, "bfloat16", several)
    return found


def report(name: str, folder: Path, device: str) -> None:
    """Print clips a second of each way, the best of some tries, the ways in turn."""
    embedders = ways(name, folder, device)
    first, *_ = embedders.values()
    size, count = first.encoder.frames.size, first.encoder.frames.count
    shape = (ON_A_CPU if device == "cpu" else 16 * BATCH, count, size, size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    best = dict.fromkeys(embedders, float("inf"))
    for embedder in embedders.values():  # what a device does once, for shapes that it has not seen
        seconds_a_clip(embedder, clips[:BATCH])
    for _ in range(TRIES):
        for way, embedder in embedders.items():
            best[way] = min(best[way], seconds_a_clip(embedder, clips))
    print(f"\n{name}, {first.encoder.parameters:,} parameters, {count} frames of {size} pixels, {len(clips)} clips")
    alone, *_ = best.values()
    for way, seconds in best.items():
        print(f"  {way:34} {1 / seconds:8.2f} clips/s  {alone / seconds:5.2f} times", flush=True)


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    what = torch.cuda.get_device_name() if device.startswith("cuda") else f"{os.cpu_count()} cores"
    print(f"{what} ({platform.machine()}), torch {torch.__version__}, transformers {transformers.__version__}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as made:
        for name in CHECKPOINTS:
            report(name, save(name, Path(made) / name), device)


if __name__ == "__main__":
    main()
