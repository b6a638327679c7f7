"""Hundreds of videos of each codec, cut and changed at random places, decode exactly or fail in one line.

Each codec has rendered clips in two containers and a real clip (from ../shared/data/clips, where that is). A frame
should be what the file showed there before it was broken, or what a plain decoder makes of the broken file, frame after
frame from its first packet to its last.
"""

import itertools
import random
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import SHARED, run_cia, snapshot
from test_extract import PAIRS, make_source

from cia_bench.build import read_data
from cia_bench.decoding import Decoded, Job, decode_ahead
from cia_bench.encoders import FrameSpec
from cia_bench.store import read_store
from cia_bench.video import upright
from cia_bench.workers import Lost, call_ahead

H264 = {"preset": "ultrafast", "bf": "2", "g": "10"}
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2:keyint=10:pools=1:frame-threads=1"}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "10"}
CODECS = {  # name: encoder, its options, containers of the rendered clips, container of the real one
    "h264": ("libx264", H264, ("mp4", "mkv"), "mp4"),
    "hevc": ("libx265", HEVC, ("mp4", "mkv"), "ts"),
    "vp8": ("libvpx", VPX, ("webm", "avi"), "webm"),
    "vp9": ("libvpx-vp9", VPX, ("webm", "mp4"), "webm"),
    "av1": ("libsvtav1", {"preset": "12", "g": "10", "svtav1-params": "lp=1"}, ("mp4", "webm"), "mkv"),
    "mpeg4": ("mpeg4", {"bf": "2", "g": "10"}, ("avi", "mp4"), "mov"),
}
BROKEN = 70  # of each clip, so 210 of each codec
RATE, LENGTH = 25, 40
WANTED = FrameSpec(count=8, size=48)
WORKERS, LIMIT_S = 2, 60.0


def rendered() -> list[np.ndarray]:
    """Waves that move over noise: uint8, (96, 128, 3)."""
    generator = np.random.default_rng(0)
    x, y = np.arange(128)[:, None], np.arange(96)[:, None, None]
    waves = [127 + 60 * np.sin((x + 3 * t) / 9 + np.arange(3)) + 40 * np.sin((y - 2 * t) / 7) for t in range(LENGTH)]
    return [np.clip(wave + generator.normal(0, 4, wave.shape), 0, 255).astype(np.uint8) for wave in waves]


def real() -> list[np.ndarray]:
    """The first frames of a real clip, made small: uint8, (90, 160, 3) or so; none where the clip is not."""
    path = SHARED / "data" / "clips" / "folding_paper.mp4"
    if not path.is_file():
        return []
    with av.open(str(path)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(LENGTH), strict=False)]
    width, height = 160, 160 * frames[0].height // frames[0].width // 2 * 2
    return [frame.reformat(width, height, "rgb24").to_ndarray() for frame in frames]


def write(path: Path, images: list[np.ndarray], encoder: str, options: dict) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=RATE, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 400_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path


def broken(content: bytes, dice: random.Random) -> bytes:
    """Cut the end off, change some bytes anywhere or near an end, blank a block, or let two blocks change places."""
    kind, size = dice.choice(["cut", "flip", "flip", "head", "tail", "blank", "swap"]), len(content)
    changed = bytearray(content)
    if kind == "cut":
        return content[: dice.randrange(size)]
    if kind in ("flip", "head", "tail"):
        low, high = {"flip": (0, size), "head": (0, 2000), "tail": (size - 2000, size)}[kind]
        for _ in range(round(100 ** dice.random())):  # 1 to 100, as often below 10 as above
            changed[dice.randrange(max(0, low), min(size, high))] = dice.randrange(256)
        return bytes(changed)
    length = dice.randrange(1, min(2000, size // 4))
    one, other = (dice.randrange(size - length) for _ in range(2))
    if kind == "swap":
        changed[one : one + length], changed[other : other + length] = (
            content[other : other + length],
            content[one : one + length],
        )
    else:
        changed[one : one + length] = bytes(length)
    return bytes(changed)


def clips_of(codec: str, folder: Path) -> list[Path]:
    encoder, options, containers, of_real = CODECS[codec]
    clips = [write(folder / f"rendered.{kind}", rendered(), encoder, options) for kind in containers]
    return clips + ([write(folder / f"real.{of_real}", real(), encoder, options)] if real() else [])


def broken_jobs(clip: Path, number: int, dice: random.Random) -> list[Job]:
    """Broken copies of a clip, of which each second is read whole and each other in an interval."""
    content, jobs = clip.read_bytes(), []
    for n in range(number):
        path = clip.with_name(f"{clip.stem}-{n}{clip.suffix}")
        path.write_bytes(broken(content, dice))
        start_s, stop_s = sorted(dice.uniform(0, LENGTH / RATE) for _ in range(2))
        jobs.append(Job(path, *((start_s, stop_s) if n % 2 else (None, None)), (WANTED,)))
    return jobs


def decode_plainly(job: tuple[Path, np.ndarray]) -> list[list[np.ndarray]]:
    """For each of some times (s) the squares that FFmpeg shows of a video there, given one packet after the other.

    What it makes of damage that it does not notice depends on what it decoded before, and on what its memory held: so
    it starts at the first packet and at each keyframe, and its frames are let go, which it then writes over, or kept.
    """
    path, times_s = job
    with av.open(str(path), metadata_errors="replace") as container:
        keyframes = [n for n, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    shown = [decode_from(path, start, keep) for start in dict.fromkeys([0, *keyframes]) for keep in (False, True)]
    wanted, first = [round(time_s, 9) for time_s in times_s.tolist()], first_frame(path)
    return [[as_square(images[time_s], first) for images in shown if time_s in images] for time_s in wanted]


def squares_of(clip: Path) -> dict[float, np.ndarray]:
    """The squares of a clip that is not broken, by time (s)."""
    first = first_frame(clip)
    return {time_s: as_square(image, first) for time_s, image in decode_from(clip, 0, keep=False).items()}


def first_frame(path: Path) -> av.VideoFrame:
    """A frame that says how the file's pictures are turned: to ask each keeps them, which changes what comes after."""
    with av.open(str(path), metadata_errors="replace") as container:
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            if frames:
                return frames[0]


def as_square(image: np.ndarray, first: av.VideoFrame) -> np.ndarray:
    return WANTED.crop(np.ascontiguousarray(upright(image, first))[None])[0]


def decode_from(path: Path, start: int, keep: bool) -> dict[float, np.ndarray]:
    """The pictures that FFmpeg shows, by time (s), if it is given the packets from number `start` on."""
    shown, kept = {}, []
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        zero_s = Fraction(max(container.start_time or 0, 0), 1_000_000)
        for packet in itertools.islice(container.demux(stream), start, None):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            kept += frames if keep else []
            for frame in frames:
                if frame.pts is not None:
                    time_s = round(float(frame.pts * stream.time_base - zero_s), 9)
                    shown.setdefault(time_s, frame.to_ndarray(format="rgb24"))
    return shown


def how_it_decoded(result: Decoded, plain: list[list[np.ndarray]] | Lost | None, intact: dict) -> str:
    """How a broken file ended, given the plain decoder's squares and the intact ones: failed, exact, unsure or wrong.

    It is unsure if FFmpeg has more than one answer for a frame, and what was read is none of them.
    """
    if result.failure is not None:
        assert result.failure.isprintable(), result.failure
        return "failed"
    if isinstance(plain, Lost):
        return "wrong"
    strange = []
    for time_s, square, squares in zip(result.times_s[0].tolist(), result.squares[0], plain, strict=True):
        before = intact.get(round(time_s, 9))
        if not any(np.array_equal(square, one) for one in (*squares, before)):
            strange.append(squares)
    if not strange:
        return "exact"
    return "unsure" if all(len({one.tobytes() for one in squares}) > 1 for squares in strange) else "wrong"


@pytest.mark.parametrize("codec", CODECS)
def test_a_broken_video_decodes_as_ffmpeg_decodes_it_or_is_a_failure(codec, tmp_path, capsys):
    dice = random.Random(codec)
    clips = clips_of(codec, tmp_path)
    jobs = [job for clip in clips for job in broken_jobs(clip, BROKEN * 3 // len(clips), dice)]
    results = list(decode_ahead(jobs, WORKERS, LIMIT_S, ahead=20))
    good = [(job.path, result.times_s[0]) for job, result in zip(jobs, results, strict=True) if result.failure is None]
    plain = call_ahead(decode_plainly, good, WORKERS, LIMIT_S, ahead=20)
    intact = [squares_of(clip) for clip in clips for _ in range(len(jobs) // len(clips))]
    ends = [
        how_it_decoded(result, None if result.failure else next(plain), before)
        for result, before in zip(results, intact, strict=True)
    ]
    counts = Counter(ends)
    reasons = [result.failure for result in results if result.failure]
    lost = sum("decoder died" in reason or "took more" in reason for reason in reasons)
    with capsys.disabled():
        print(f"\n{codec}: of {len(jobs)} broken files {dict(counts)}; {lost} killed or held up a worker")
    assert len(jobs) >= 200
    assert [job for job, end in zip(jobs, ends, strict=True) if end == "wrong"] == []
    assert counts["failed"] > 20 and counts["exact"] > 20 and counts["unsure"] <= len(jobs) // 20


def test_cia_extract_gives_each_broken_video_an_embedding_or_a_failure(tmp_path):
    data = tmp_path / "data"
    for source in PAIRS:
        make_source(data / source)
    dice = random.Random(0)
    clip_ids = set(read_data(data).clips.clip_id)
    ends = Counter()
    for number in range(5):
        folder = tmp_path / str(number)
        shutil.copytree(data, folder / "data")
        for path in sorted(folder.rglob("*.mp4")):
            path.write_bytes(broken(path.read_bytes(), dice))
        run = run_cia("extract", "--model", "pixels", "--data", "data", "--out", "store", cwd=folder)
        assert run.returncode == 0, run.stderr
        stored = read_store(folder / "store", "pixels")
        assert {*stored.clips.clip_id, *stored.failures.clip_id} == clip_ids
        assert len(stored.clips) + len(stored.failures) == len(clip_ids)
        assert all(reason.isprintable() for reason in stored.failures.reason)
        ends.update(embedded=len(stored.clips), failed=len(stored.failures))
        before = snapshot(folder / "store")
        assert run_cia("extract", "--model", "pixels", "--data", "data", "--out", "store", cwd=folder).returncode == 0
        assert snapshot(folder / "store") == before
    assert min(ends["embedded"], ends["failed"]) > 10, ends
