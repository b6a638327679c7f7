"""Time 16 frames made ready for an image model beside decord with Pillow: 256 pixels high, a square of 224 cut out.

    python benchmarks/beside_decord.py

Clips are rendered here: a texture that drifts, another that swings before it, and a little grain. Short ones are read
whole; of one of 10 minutes, x264's defaults at 854 x 480 (a minute that is repeated), 100 random segments of 2 seconds.
Each side decodes and resizes in one thread, decord also with its own number of them. decord's reader of the long file
is made once, which is not timed; ours opens the file for each segment. That both take the same frames is checked, and
that our squares are within a grey level of Pillow's from the same frames (two for less than one value in 10,000, as
torch rounds its weights more coarsely). The sides take turns; each time is the best of nine for a short clip, and of
three for each segment.
"""

import importlib
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from cia_bench.encoders import FrameSpec
from cia_bench.video import read_frames

WANTED = FrameSpec(count=16, size=224, short_side=256)
VP9 = {"deadline": "good", "cpu-used": "4", "crf": "34", "b": "0"}
SHORT = [  # what, file, codec, its options, width, height, frames a second; of 4 seconds each
    ("VP9 webm", "12.webm", "libvpx-vp9", VP9, 426, 240, 12),
    ("VP9 webm", "30.webm", "libvpx-vp9", VP9, 426, 240, 30),
    ("H.264 mp4", "30.mp4", "libx264", {}, 426, 240, 30),
    ("H.264 mp4", "12.mp4", "libx264", {}, 320, 240, 12),
]
LONG_RATE, MINUTES, SEGMENTS, SEGMENT_S = 30, 10, 100, 2.0
THREADS = {"decord, 1 thread": 1, "decord, its default": 0}


def texture(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth coloured spots of three sizes: float32 (height, width, 3), 0 to 255."""
    spots = np.full((height, width, 3), 128, np.float32)
    for size, strength in ((64, 30), (16, 16), (4, 7)):
        coarse = generator.normal(0, strength, (height // size + 2, width // size + 2)).astype(np.float32)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
        spots += smooth[..., None] * generator.uniform(0.6, 1.4, 3).astype(np.float32)
    return spots.clip(0, 255)


def pictures(width: int, height: int, count: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    back, front = texture(generator, height + 64, width + count), texture(generator, height // 3, width // 4)
    grain = generator.normal(0, 2, (height + 32, width + 32, 1)).astype(np.float32)
    for t in range(count):
        x, y = int(0.7 * t), int(20 + 20 * np.sin(t / 25))
        picture = back[y : y + height, x : x + width].copy()
        top = int((height - height // 3) * (0.5 + 0.5 * np.sin(t / 15)))
        left = int((width - width // 4) * (0.5 + 0.5 * np.cos(t / 23)))
        picture[top : top + height // 3, left : left + width // 4] = front
        i, j = generator.integers(0, 32, 2)
        yield (picture + grain[i : i + height, j : j + width]).clip(0, 255).astype(np.uint8)


def write_clip(path: Path, codec: str, options: dict, width: int, height: int, rate: int, seconds: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures(width, height, rate * seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def repeat(source: Path, target: Path, times: int) -> None:
    """Write a file's packets `times` times, one after the other."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        length = sum(packet.duration for packet in packets)
        for shift in range(0, times * length, length):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts + shift, packet.dts + shift, packet.time_base
                copy.duration, copy.is_keyframe, copy.stream = packet.duration, packet.is_keyframe, stream
                new.mux(copy)


def pillow_crop(images: np.ndarray) -> np.ndarray:
    """What WANTED.crop gives, by Pillow."""
    height, width = images.shape[1:3]
    high, wide = 256 * height // min(height, width), 256 * width // min(height, width)
    top, left = round((high - 224) / 2), round((wide - 224) / 2)
    resized = [Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image.crop((left, top, left + 224, top + 224))) for image in resized])


def ours(path: Path, start_s: float | None, stop_s: float | None) -> np.ndarray:
    return WANTED.crop(read_frames(path, start_s, stop_s, WANTED.count).images)


def theirs(reader, first: int, last: int) -> np.ndarray:
    """16 frames spread evenly from number `first` to `last` of a decord reader (of two as near the earlier)."""
    numbers = np.ceil(np.linspace(first, last, WANTED.count) - 0.5 - 1e-9).astype(int)
    return pillow_crop(reader.get_batch(numbers).asnumpy())


def numbers_within(start_s: float, stop_s: float) -> tuple[int, int]:
    """The first and the last frame of the long file that are shown within an interval."""
    return int(np.ceil(start_s * LONG_RATE)), int(np.floor(stop_s * LONG_RATE))


def check(path: Path, start_s: float | None, stop_s: float | None, other: Callable[[], np.ndarray] | None) -> None:
    frames = read_frames(path, start_s, stop_s, WANTED.count).images
    squares = WANTED.crop(frames).astype(int)
    apart = np.abs(squares - pillow_crop(frames))
    assert apart.max() <= 2 and (apart > 1).mean() < 1e-4
    if other:  # neighbouring frames differ by more: both convert to RGB, with roundings of their own
        assert np.abs(squares - other()).mean(axis=(1, 2, 3)).max() < 1.5


def milliseconds(calls: dict[str, Callable], times: int) -> dict[str, float]:
    """The best of `times` runs of each call, made in turns."""
    best = dict.fromkeys(calls, np.inf)
    for _ in range(times):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            best[name] = min(best[name], 1000 * (time.perf_counter() - started))
    return best


def tell(what: str, best: dict[str, float]) -> None:
    mine = best["ours"]
    rest = [f"{name} {value:.1f} ms (ratio {value / mine:.2f})" for name, value in best.items() if name != "ours"]
    print("; ".join([f"{what}: ours {mine:.1f} ms", *rest]), flush=True)


def time_short(folder: Path, decord) -> None:
    for what, name, codec, options, width, height, rate in SHORT:
        path, last = folder / name, 4 * rate - 1
        write_clip(path, codec, options, width, height, rate, 4)

        def read_all(threads: int, path: Path = path, last: int = last) -> np.ndarray:
            return theirs(decord.VideoReader(str(path), num_threads=threads), 0, last)

        others = {name: (lambda n=n, read=read_all: read(n)) for name, n in THREADS.items()} if decord else {}
        check(path, None, None, next(iter(others.values()), None))
        calls = {"ours": lambda path=path: ours(path, None, None), **others}
        tell(f"{what}, {width} x {height}, 4 s at {rate} frames a second", milliseconds(calls, 9))


def time_segments(folder: Path, decord) -> None:
    minute, path = folder / "minute.mp4", folder / "long.mp4"
    write_clip(minute, "libx264", {}, 854, 480, LONG_RATE, 60)
    repeat(minute, path, MINUTES)
    readers = {name: decord.VideoReader(str(path), num_threads=n) for name, n in THREADS.items()} if decord else {}
    starts_s = np.random.default_rng(0).uniform(0, 60 * MINUTES - SEGMENT_S, SEGMENTS).tolist()
    total = {}
    for start_s in starts_s:
        stop_s = start_s + SEGMENT_S
        span = numbers_within(start_s, stop_s)
        others = {name: (lambda reader=reader, span=span: theirs(reader, *span)) for name, reader in readers.items()}
        check(path, start_s, stop_s, next(iter(others.values()), None))
        calls = {"ours": lambda start_s=start_s, stop_s=stop_s: ours(path, start_s, stop_s), **others}
        for name, best in milliseconds(calls, 3).items():
            total[name] = total.get(name, 0) + best / SEGMENTS
    tell(f"H.264 mp4, 854 x 480, a segment of 2 s of {MINUTES} minutes, mean of {SEGMENTS}", total)


def main() -> None:
    decord = importlib.import_module("decord") if importlib.util.find_spec("decord") else None
    torch.set_num_threads(1)
    versions = f"av {av.__version__}, torch {torch.__version__}, decord {decord.__version__ if decord else 'none'}"
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}")
    if not decord:
        print("decord is not installed: our times alone (pip install decord)")
    with tempfile.TemporaryDirectory() as folder:
        time_short(Path(folder), decord)
        time_segments(Path(folder), decord)


if __name__ == "__main__":
    main()
