import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from test_video import not_video, write_numbers

from cia_bench import decoding
from cia_bench.decoding import Job, decode_ahead
from cia_bench.encoders import FrameSpec
from cia_bench.video import read_frames

WANTED = FrameSpec(count=4, size=32, short_side=40)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_numbers(tmp_path_factory.mktemp("clip") / "clip.mp4", count=30)


def decode_all(paths: list[Path], workers: int = 2, limit_s: float = 60.0) -> list[decoding.Decoded]:
    return list(decode_ahead([Job(path, None, None, (WANTED,)) for path in paths], workers, limit_s, ahead=4))


def assert_is(found: decoding.Decoded, path: Path, start_s: float | None = None, stop_s: float | None = None) -> None:
    """Assert that a clip was decoded as it is in this process."""
    frames = read_frames(path, start_s, stop_s, WANTED.count)
    assert found.failure is None and found.cut == frames.cut
    (squares,), (times_s,) = found.squares, found.times_s
    np.testing.assert_array_equal(times_s, frames.times_s)
    np.testing.assert_array_equal(squares, WANTED.crop(frames.images))
    assert squares.shape == (4, 32, 32, 3) and squares.dtype == np.uint8


def test_clips_come_in_order_as_if_decoded_here(clip):
    intervals = [(None, None), (0.2, 0.6), (0.6, 0.9), (1.0, 5.0), (0.1, 0.1), (0.4, 0.8)]
    jobs = [Job(clip, start_s, stop_s, (WANTED,)) for start_s, stop_s in intervals]
    for workers in (1, 3):
        found = list(decode_ahead(jobs, workers, 60.0, ahead=2))
        assert [one.cut for one in found] == [False, False, False, True, False, False]
        for one, interval in zip(found, intervals, strict=True):
            assert_is(one, clip, *interval)


def test_nothing_to_decode_starts_no_process():
    before = set(multiprocessing.active_children())
    assert decode_all([]) == []
    assert set(multiprocessing.active_children()) == before


def test_no_more_workers_are_started_than_there_are_clips(clip):
    before = set(multiprocessing.active_children())
    answers = decode_ahead([Job(clip, None, None, (WANTED,))] * 2, 8, 60.0, ahead=20)
    next(answers)
    assert len(set(multiprocessing.active_children()) - before) <= 2
    answers.close()
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.mp4", "No such file"),
        ("folder.mp4", "directory"),
        ("empty.webm", "can't be read as video"),
        ("text.mp4", "can't be read as video"),
        ("list.mp4", "can't be read as video"),
        ("sound.m4a", "holds no video"),
        ("cover.mp3", "can't be read as video"),
    ],
)
def test_what_is_no_video_fails_alone_in_one_line(name, why, clip, tmp_path):
    not_video(tmp_path / name)
    first, bad, last = decode_all([clip, tmp_path / name, clip])
    assert bad.squares == bad.times_s == ()
    assert str(tmp_path / name) in bad.failure and why in bad.failure and bad.failure.isprintable()
    assert_is(first, clip)
    assert_is(last, clip)


NAMES = [
    "with spaces in it.mp4",
    "öffnen 打开 🎥.mp4",
    "50%d#?&.mp4",
    "file:x.mp4",
    "-i.mp4",
    "'\"`$HOME.mp4",
    "a\nb.mp4",
]


@pytest.mark.parametrize("name", [*NAMES, "wrong.txt", "wrong.webm", "none"])
def test_a_video_is_read_whatever_its_name(name, clip, tmp_path):
    (tmp_path / name).write_bytes(clip.read_bytes())
    (found,) = decode_all([tmp_path / name])
    assert_is(found, clip)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_file_of_any_name_is_one_printable_line(name, tmp_path):
    (tmp_path / name).write_bytes(b"no video")
    (found,) = decode_all([tmp_path / name])
    assert found.failure.isprintable() and "can't be read as video" in found.failure


@pytest.fixture
def endless(tmp_path) -> Path:
    """A pipe that nobody writes to: whoever opens it to read waits for good."""
    os.mkfifo(tmp_path / "endless.mp4")
    return tmp_path / "endless.mp4"


def test_a_clip_that_takes_too_long_fails_alone(clip, endless):
    first, late, last = decode_all([clip, endless, clip], limit_s=3)
    assert late == decoding.Decoded(failure=f"{endless}: decoding took more than 3 s")
    assert_is(first, clip)
    assert_is(last, clip)


def test_a_clip_whose_decoder_dies_fails_alone(clip, endless):
    before = set(multiprocessing.active_children())
    answers = decode_ahead([Job(path, None, None, (WANTED,)) for path in (clip, endless, clip)], 1, 60.0, ahead=2)
    first = next(answers)
    (worker,) = set(multiprocessing.active_children()) - before
    os.kill(worker.pid, signal.SIGKILL)
    dead, last = answers
    assert dead == decoding.Decoded(failure=f"{endless}: the decoder died on it (signal 9)")
    assert_is(first, clip)
    assert_is(last, clip)
