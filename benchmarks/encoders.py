"""Time the models of transformers with the frames of several clips at once, beside one clip at a time.

    python benchmarks/encoders.py [DEVICE]

Weights are random: the numbers mean nothing, the work is that of the real models of the same shape, which are saved
here as checkpoints and loaded as any other. Frames are ready in memory, so that neither decoding nor preprocessing
counts. On a CPU clips are few. On CUDA bfloat16 (torch.autocast, as `--precision bfloat16`) is timed too.
"""

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from cia_bench.encoders import Encoder, load_encoder
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
TRIES = 3


def save(name: str, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        CHECKPOINTS[name]().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    return folder


def seconds_a_clip(encoder: Encoder, clips: np.ndarray, device: str, precision: str, at_once: int) -> float:
    embedder = Embedder("encoder", encoder, device, precision, at_once)
    started = time.perf_counter()
    embedder(clips)  # which ends with the embeddings in the CPU's memory
    return (time.perf_counter() - started) / len(clips)


def report(name: str, folder: Path, device: str) -> None:
    """Print clips a second of each way, the best of some tries, the ways in turn."""
    encoder = load_encoder(name, str(folder), device)
    size, count = encoder.frames.size, encoder.frames.count
    batches = 1 if device == "cpu" else 16
    shape = (batches * BATCH, count, size, size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    precisions = ("float32",) if device == "cpu" else ("float32", "bfloat16")
    ways = [(precision, at_once) for precision in precisions for at_once in (1, BATCH)]
    best = dict.fromkeys(ways, float("inf"))
    for way in ways:  # what a device does once, for shapes that it has not seen
        seconds_a_clip(encoder, clips[: way[1]], device, *way)
    for _ in range(TRIES):
        for way in ways:
            best[way] = min(best[way], seconds_a_clip(encoder, clips, device, *way))
    print(f"\n{name}, {encoder.parameters:,} parameters, {count} frames of {size} pixels, {len(clips)} clips")
    for precision in precisions:
        alone, together = (best[precision, at_once] for at_once in (1, BATCH))
        print(
            f"  {precision:9} one clip at a time {1 / alone:7.2f} clips/s, {BATCH} at once {1 / together:7.2f}: "
            f"{alone / together:.2f} times",
            flush=True,
        )


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
