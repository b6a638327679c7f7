"""Time decoding in worker processes beside the same in threads, as extraction once did it, which a crash would end.

    python benchmarks/decoding.py

Clips are rendered here in H.264: 400 of 128 x 96 for the small squares that `pixels` wants, 150 of 320 x 240 for the
squares of 224 that image models want; each 40 frames long, of which 16 are read. Both give the same bytes, which is
checked. Each time is the best of three, the two ways in turn; the first run of the processes, which also starts them
and has them import torch, is told apart.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from cia_bench.decoding import LIMIT_S, Job, decode_ahead
from cia_bench.encoders import FrameSpec
from cia_bench.video import read_frames

WORKERS = os.cpu_count() or 1
CASES = [("small clips", 400, 128, 96, FrameSpec(16, 48, filter="bilinear")), ("clips", 150, 320, 240, FrameSpec())]


def write_clip(path: Path, width: int, height: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    x, y = np.arange(width)[:, None], np.arange(height)[:, None, None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(40):
            image = 127 + 60 * np.sin((x + 3 * t) / 9 + np.arange(3)) + 40 * np.sin((y - 2 * t) / 7) + noise
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def in_threads(jobs: list[Job]) -> list[np.ndarray]:
    def squares(job: Job) -> np.ndarray:
        return job.wanted[0].crop(read_frames(job.path, job.start_s, job.stop_s, job.wanted[0].count).images)

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(squares, jobs))


def in_processes(jobs: list[Job]) -> list[np.ndarray]:
    return [clip.squares[0] for clip in decode_ahead(jobs, WORKERS, LIMIT_S, ahead=32 + WORKERS)]


def seconds(way: Callable, jobs: list[Job]) -> tuple[float, list[np.ndarray]]:
    started = time.perf_counter()
    squares = way(jobs)
    return time.perf_counter() - started, squares


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, av {av.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for what, count, width, height, wanted in CASES:
            paths = [Path(folder) / f"{width}-{number}.mp4" for number in range(count)]
            for seed, path in enumerate(paths):
                write_clip(path, width, height, seed)
            jobs = [Job(path, None, None, (wanted,)) for path in paths]
            in_threads(jobs[:16])  # imports torch
            first_s, _ = seconds(in_processes, jobs)
            runs = [(seconds(in_threads, jobs), seconds(in_processes, jobs)) for _ in range(3)]
            assert all(np.array_equal(a, b) for (_, old), (_, new) in runs for a, b in zip(old, new, strict=True))
            threads_s, processes_s = (min(run[way][0] for run in runs) for way in (0, 1))
            print(
                f"{count} {what}: {processes_s:.2f} s in processes ({first_s:.2f} s the first time), {threads_s:.2f} s "
                f"in threads; ratio {threads_s / processes_s:.2f}"
            )


if __name__ == "__main__":
    main()
