"""Time exact frames beside the loop that a user would write: decode every frame to RGB, then choose.

    python benchmarks/video.py

Clips are rendered here in H.264, 427 x 240 at 25 frames a second with a keyframe every 50 and two B-frames: one of 4
seconds, read whole, and one of 10 minutes, of which segments of 2 seconds are read. The loop decodes a segment from the
file's start, for it does not seek. Both take the same 16 frames, which is checked. Each time is the best of three.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from cia_bench.video import read_frames

RATE, COUNT = 25, 16


def best_of_three(function, *arguments) -> tuple[float, object]:
    """The seconds of the quickest of three calls, and what it returned."""
    runs = []
    for _ in range(3):
        start = time.perf_counter()
        value = function(*arguments)
        runs.append((time.perf_counter() - start, value))
    return min(runs, key=lambda run: run[0])


def write_video(path: Path, seconds: int) -> None:
    """Moving bars and noise; the frames repeat after four seconds, so that writing ten minutes is quick."""
    generator = np.random.default_rng(0)
    x, y = np.arange(427), np.arange(240)[:, None]
    pictures = [(127 + 80 * np.sin((x + 3 * t) / 25) + 40 * np.sin((y - t) / 18))[..., None] for t in range(100)]
    noisy = [picture + generator.normal(0, 6, (240, 427, 3)) for picture in pictures]
    frames = [np.clip(picture, 0, 255).astype(np.uint8)[:, :426] for picture in noisy]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "bf": "2", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 426, 240, "yuv420p"
        for number in range(seconds * RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[number % 100], format="rgb24")))
        container.mux(stream.encode())


def plain_loop(path: Path, start_s: float | None, stop_s: float | None) -> np.ndarray:
    """Decode from the start, keep what lies in the interval as RGB, and choose evenly by index."""
    kept = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if start_s is not None and frame.time < start_s:
                continue
            if stop_s is not None and frame.time > stop_s:
                break
            kept.append(frame.to_ndarray(format="rgb24"))
    return np.stack([kept[index] for index in np.linspace(0, len(kept) - 1, COUNT).round().astype(int)])


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, av {av.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.mp4", Path(folder) / "long.mp4"
        write_video(short, 4)
        write_video(long, 600)
        cases = [("a clip of 4 s, whole", short, None, None)]
        cases += [(f"2 s at {start} s of 10 minutes", long, start, start + 2.0) for start in (30.2, 300.2, 580.2)]
        for what, path, start_s, stop_s in cases:
            loop_s, expected = best_of_three(plain_loop, path, start_s, stop_s)
            ours_s, frames = best_of_three(read_frames, path, start_s, stop_s, COUNT)
            assert np.array_equal(frames.images, expected)
            print(f"{what}: {1000 * ours_s:.0f} ms; the loop {1000 * loop_s:.0f} ms; ratio {loop_s / ours_s:.1f}")


if __name__ == "__main__":
    main()
