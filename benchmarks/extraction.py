"""Time extraction beside decoding and embedding alone, two encoders at once beside one after the other; its memory.

    python benchmarks/extraction.py

Clips are rendered here in H.264, 320 x 240, 40 frames, of which 16 are read. One process decodes and one thread embeds,
a core each, as a GPU would leave the cores to decoding; the encoders are DINOv2 with random weights, of sizes that make
embedding cheaper than decoding, and about as dear, which is the hardest case. Each time is the best of two, the ways in
turn, with the start of the worker process. Memory is that of all processes together at its peak, each page counted
once, of `cia extract` on 1,000 and on 10,000 video files (100 contents under many names, unknown to the store).
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from decoding import write_clip  # noqa: E402

from cia_bench.decoding import LIMIT_S, Job, decode_ahead  # noqa: E402
from cia_bench.demo import save_random_dinov2  # noqa: E402
from cia_bench.encoders import load_encoder  # noqa: E402
from cia_bench.extract import BATCH, ExtractionSettings, extract  # noqa: E402
from cia_bench.inference import Embedder  # noqa: E402

CLIPS, FEW, CONTENTS = 4_096, 1_024, 256  # CLIPS: a third of what the smallest published source has
LAYERS = (1, 24)  # of the encoder, 56 x 56 pixels and 64 numbers wide
CIA = Path(sys.executable).parent / "cia"
NAME = "dinov2-small-reg"


def save_dinov2(folder: Path, layers: int) -> dict[str, str]:
    """Save an encoder of so many layers: the demo's, whose first layers stand in for the others."""
    from safetensors.torch import load_file, save_file

    save_random_dinov2(folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if ".layer." not in name}
    for layer in range(layers):
        first = {name: tensor for name, tensor in tensors.items() if ".layer.0." in name}
        kept |= {name.replace(".layer.0.", f".layer.{layer}."): tensor.clone() for name, tensor in first.items()}
    config = {**config, "num_hidden_layers": layers, "out_features": None, "stage_names": None, "out_indices": None}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return {NAME: str(folder)}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def overlap(videos: Path, weights: dict[str, str], out: Path) -> dict[str, float]:
    """Seconds of decoding alone, embedding alone and extraction, best of two."""
    encoder = load_encoder(NAME, weights[NAME])
    jobs = [Job(path, None, None, (encoder.frames.pictures,)) for path in sorted(videos.iterdir())]

    def decode() -> list:
        with contextlib.closing(decode_ahead(jobs, 1, LIMIT_S, ahead=2 * BATCH + 1)) as decoded:
            return [clip.squares[0] for clip in decoded]

    squares = decode()
    embedder = Embedder(NAME, encoder)
    ways = {
        "decoding": decode,
        "embedding": lambda: [embedder(np.stack(squares[n : n + BATCH])) for n in range(0, len(squares), BATCH)],
        "extraction": lambda: extract(
            [NAME], None, out / f"{time.monotonic_ns()}", (), videos, weights, settings=ExtractionSettings(workers=1)
        ),
    }
    runs = [{name: seconds(way) for name, way in ways.items()} for _ in range(2)]
    return {name: min(run[name] for run in runs) for name in ways}


def together(videos: Path, weights: dict[str, str], out: Path) -> tuple[float, float]:
    """Seconds of two encoders in one command, and in one after the other, best of two."""

    def run(*groups: list[str]) -> float:
        store = out / f"{time.monotonic_ns()}"
        return seconds(lambda: [extract(models, None, store, (), videos, _only(weights, models)) for models in groups])

    runs = [(run(["pixels", NAME]), run(["pixels"], [NAME])) for _ in range(2)]
    return min(one for one, _ in runs), min(two for _, two in runs)


def _only(weights: dict[str, str], models: list[str]) -> dict[str, str]:
    return {name: place for name, place in weights.items() if name in models}


def peak_gib(command: list[str], cwd: Path) -> tuple[float, float]:
    """Run a command; return its seconds and the peak memory of its processes in GiB."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(map(_own_kib, _descendants(process.pid))))
        time.sleep(0.05)
    assert process.returncode == 0
    return time.perf_counter() - started, peak / 2**20


def _descendants(pid: int) -> list[int]:
    children = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return [pid, *(one for child in children for one in _descendants(child))]


def _own_kib(pid: int) -> int:
    """The memory of a process in KiB, a page that n processes share counted as an n-th."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def main() -> None:
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, torch {torch.__version__}"
        f", av {av.__version__}"
    )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        for folder, count in (("videos", CLIPS), ("few", FEW)):
            (root / folder).mkdir()
            for number in range(count):
                first, path = root / "videos" / f"{number % CONTENTS}.mp4", root / folder / f"{number}.mp4"
                if first.exists():
                    os.link(first, path)
                else:
                    write_clip(first, 320, 240, number)
        for layers in LAYERS:
            weights = save_dinov2(root / f"layers-{layers}", layers)
            spent = overlap(root / "videos", weights, root / "stores")
            ratio = spent["extraction"] / max(spent["decoding"], spent["embedding"])
            print(
                f"{CLIPS} clips, {layers:2} layers: decoding alone {spent['decoding']:.2f} s, embedding alone "
                f"{spent['embedding']:.2f} s, extraction {spent['extraction']:.2f} s; {ratio:.2f} of the larger"
            )
        one, two = together(root / "few", save_dinov2(root / "both", 1), root / "stores")
        print(f"{FEW} clips, pixels and {NAME}: {one:.2f} s at once, {two:.2f} s in turn; ratio {two / one:.2f}")
        for count in (1_000, 10_000):
            videos = root / f"{count}"
            for number in range(count):
                (videos / f"{number // 100}").mkdir(parents=True, exist_ok=True)
                small = root / "small" / f"{number % 100}.mp4"
                if not small.exists():
                    small.parent.mkdir(exist_ok=True)
                    write_clip(small, 128, 96, number)
                os.link(small, videos / f"{number // 100}" / f"{number}.mp4")
            spent_s, peak = peak_gib([str(CIA), "extract", "--model", "pixels", "--videos", str(videos)], videos.parent)
            print(f"{count:6,} files, pixels: peak {peak:.3f} GiB in all processes, {spent_s:.0f} s")
            for path in (root / "cia-embeddings").rglob("*.parquet"):
                path.unlink()


if __name__ == "__main__":
    main()
