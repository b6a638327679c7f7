import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_video import H264, not_video, read_number, write_clip, write_numbers

from cia_bench.review import strips as module
from cia_bench.review.filmstrip import Job, render
from cia_bench.review.strips import NoStrip, Strip, Strips
from cia_bench.video import read_frames


def clip(video: str = "clip.mp4", start_s: float | None = None, stop_s: float | None = None, source: str = "epic"):
    return SimpleNamespace(source=source, video=video, start_s=start_s, stop_s=stop_s)


def treacherous(job: Job) -> bytes:
    """A decoder that some videos hang, and some kill."""
    if job.path.name == "hang.mp4":
        time.sleep(600)
    if job.path.name == "kill.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.path.name == "eat.mp4":
        raise MemoryError
    if job.path.name == "slow.mp4":
        time.sleep(0.5)
    return render(job)


class Unloadable:
    """A function that ends each worker that loads it."""

    def __reduce__(self):
        return os._exit, (3,)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A clip of 31 painted numbers, 25 a second."""
    return write_numbers(tmp_path_factory.mktemp("made") / "clip.mp4", count=31)


@pytest.fixture
def videos(made, tmp_path) -> Path:
    (tmp_path / "videos").mkdir()
    for name in ("clip.mp4", "kill.mp4", "hang.mp4", "eat.mp4", "slow.mp4"):
        shutil.copy(made, tmp_path / "videos" / name)
    return tmp_path / "videos"


@pytest.fixture
def begin(videos, tmp_path) -> Iterator[Callable[..., Strips]]:
    """Start `Strips` on the folder of videos and a cache of the test's own; all are closed at its end."""
    begun = []

    def begin_one(**settings) -> Strips:
        begun.append(Strips({"epic": videos}, tmp_path / "cache", **settings))
        return begun[-1]

    yield begin_one
    for one in begun:
        one.close()


def pictures(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "strips").iterdir())


def numbers(strip: Strip) -> list[int]:
    return [read_number(image) for image in strip.pixels]


def assert_same(one: Strip, other: Strip) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.times_s, other.times_s)
    assert one.cut == other.cut


def test_a_strip_has_frames_spread_evenly_from_the_first_to_the_last(begin):
    strip = begin().load(clip())
    assert strip.pixels.shape == (16, 48, 72, 3) and strip.pixels.dtype == np.uint8
    assert numbers(strip) == list(range(0, 31, 2))
    np.testing.assert_allclose(strip.times_s, np.arange(16) * 0.08)
    assert strip.cut is False


def test_a_strip_of_an_interval_says_when_the_file_ends_before_it(begin, videos):
    strip = begin().load(clip(start_s=0.2, stop_s=2.0))
    np.testing.assert_array_equal(strip.times_s, read_frames(videos / "clip.mp4", 0.2, 2.0, 16).times_s)
    assert strip.cut and numbers(strip)[0] == 5 and numbers(strip)[-1] == 30


def test_colours_survive_the_packing(begin, videos):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    write_clip(videos / "colours.mp4", "libx264", [image] * 3, 25, H264)
    decoded = read_frames(videos / "colours.mp4", None, None, 1).images[0]
    strip = begin().load(clip("colours.mp4"))
    assert np.abs(strip.pixels[7].astype(int) - decoded).mean() < 3


@pytest.mark.parametrize(("size", "width"), [((64, 96), 72), ((64, 34), 26), ((32, 512), 120), ((512, 16), 2)])
def test_the_width_follows_the_aspect_but_is_even_and_bounded(size, width, tmp_path):
    write_numbers(tmp_path / "clip.mp4", count=3, size=size)
    (tmp_path / "strip.jpg").write_bytes(render(Job(tmp_path / "clip.mp4", None, None)))
    assert Image.open(tmp_path / "strip.jpg").size == (width, 16 * 48)


def test_no_times_and_times_that_are_no_numbers_are_both_the_whole_file(begin):
    strips = begin()
    strip = strips.load(clip(start_s=math.nan, stop_s=np.float64("nan")))
    assert strips.cached(clip()) is strip


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (clip("missing.mp4"), "missing.mp4 is missing or can't be read"),
        (clip("folder.mp4"), "folder.mp4 is missing or can't be read"),
        (clip("x" * 300), "x is missing or can't be read"),  # the system refuses to look
        (clip("text.mp4"), "text.mp4 can't be read as video"),
        (clip("empty.webm"), "empty.webm can't be read as video"),
        (clip("half.mp4"), "half.mp4 can't be read as video"),
        (clip(start_s=7.0, stop_s=8.0), "before the interval starts"),
        (clip(start_s=2.0, stop_s=1.0), "is no interval"),
        (clip("../clip.mp4"), "'../clip.mp4' leaves the folder of videos"),
        (clip("/etc/passwd"), "'/etc/passwd' leaves the folder of videos"),
        (clip("a\x1b[2Jb.mp4"), "leaves the folder of videos"),
        (clip(source="ssv2"), "no folder with the videos of ssv2: give --videos DIR, put them into DATA/ssv2/videos"),
    ],
)
def test_a_clip_without_a_strip_says_why_in_one_line(asked, why, begin, videos, made, tmp_path):
    for name in ("folder.mp4", "text.mp4", "empty.webm"):
        not_video(videos / name)
    (videos / "half.mp4").write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    strips = begin()
    found = strips.load(asked)
    assert why in found.reason and found.reason.isprintable()
    assert strips.cached(asked) is found
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hang.mp4", "decoding took more than 2 s"),
        ("kill.mp4", "the decoder died on it (signal 9)"),
        ("eat.mp4", "needs more memory to decode than there is"),
    ],
)
def test_a_video_that_hangs_or_kills_its_decoder_costs_only_its_own_strip(name, why, begin, monkeypatch):
    monkeypatch.setattr(module, "render_in_worker", treacherous)
    strips = begin(limit_s=2)
    assert numbers(strips.load(clip()))[-1] == 30
    assert why in strips.load(clip(name, 0.0, 0.4)).reason
    assert numbers(strips.load(clip("clip.mp4", 0.0, 1.0)))[-1] == 25


def test_a_worker_that_cannot_start_is_said_and_tried_again(begin, monkeypatch):
    monkeypatch.setattr(module, "render_in_worker", Unloadable())
    strips = begin()
    assert "a worker process did not start (exit code 3)" in strips.load(clip()).reason
    assert strips.cached(clip()) is None


def test_a_strip_on_disk_is_not_decoded_again(begin, videos, tmp_path):
    before = set(multiprocessing.active_children())
    first = begin()
    strip = first.load(clip())
    first.close()
    (videos / "clip.mp4").rename(videos / "renamed.mp4")
    assert_same(begin(limit_s=0).load(clip("renamed.mp4")), strip)
    assert set(multiprocessing.active_children()) == before
    (picture,) = pictures(tmp_path)
    with Image.open(picture) as image:  # any viewer can open it
        np.testing.assert_array_equal(np.asarray(image), strip.pixels.reshape(16 * 48, 72, 3))


def test_another_video_of_the_same_name_another_interval_or_other_settings_are_decoded(begin, videos, monkeypatch):
    begin().load(clip())
    assert "decoding took more than 0 s" in begin(limit_s=0).load(clip(start_s=0.0, stop_s=0.5)).reason
    with monkeypatch.context() as patch:
        patch.setattr(module, "SETTINGS", (2, *module.SETTINGS[1:]))
        assert "decoding took more than 0 s" in begin(limit_s=0).load(clip()).reason
    write_numbers(videos / "clip.mp4", count=61)
    assert numbers(begin().load(clip()))[-1] == 60


@pytest.mark.parametrize("damage", ["changed", "truncated", "emptied"])
def test_a_damaged_file_on_disk_is_made_anew(damage, begin, tmp_path):
    strip = begin().load(clip())
    (picture,) = pictures(tmp_path)
    whole = picture.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "truncated": whole[:middle],
        "emptied": b"",
    }
    picture.write_bytes(damaged[damage])
    assert_same(begin().load(clip()), strip)
    assert pictures(tmp_path) == [picture] and picture.read_bytes() == whole


@pytest.mark.parametrize("blocked", ["cache", "cache/strips"])
def test_a_cache_that_cannot_be_written_costs_only_the_caching(blocked, begin, tmp_path):
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("a file in the folder's place")
    assert numbers(begin().load(clip()))[-1] == 30
    assert (tmp_path / blocked).read_text() == "a file in the folder's place"


def test_the_oldest_files_go_when_the_cache_has_grown_too_large(begin, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "strips"
    folder.mkdir(parents=True)
    for age, name in enumerate(["b.jpg", ".part-a.jpg", "d.jpg", "c.jpg", "e.jpg"]):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (age, age))
    (folder / "README").write_text("not ours" * 100)
    monkeypatch.setattr(module, "CACHED_BYTES", 250)
    strips = begin()
    strips.load(clip())
    strips.load(clip(start_s=0.0, stop_s=0.5))  # looked through only once
    assert [path.name for path in pictures(tmp_path) if len(path.name) < 60] == ["README", "c.jpg", "e.jpg"]
    assert len(pictures(tmp_path)) == 5


def test_threads_that_ask_for_the_same_clip_at_once_get_the_same_strip(begin):
    strips = begin(workers=2)
    intervals = [(0.0, 0.4), (0.4, 0.8), (0.8, 1.2)]
    asked = [clip(start_s=start_s, stop_s=stop_s) for start_s, stop_s in intervals] * 4
    with ThreadPoolExecutor(len(asked)) as threads:
        found = list(threads.map(strips.load, asked))
    assert len(set(map(id, found))) == len(intervals)
    for one, (start_s, stop_s) in zip(found, intervals * 4, strict=True):
        assert numbers(one)[0] == round(25 * start_s) and numbers(one)[-1] == round(25 * stop_s)


def test_only_the_strips_asked_for_last_stay_in_memory(begin, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    strips, first, second, third = begin(), clip(), clip("slow.mp4"), clip("eat.mp4")
    assert strips.cached(first) is None
    strip = strips.load(first)
    strips.load(second)
    assert strips.cached(first) is strip  # now the second was asked for longest ago
    strips.load(third)
    assert strips.cached(first) is strip and strips.cached(second) is None and strips.cached(third)
    assert strips.load(first) is strip
    assert_same(strips.load(second), strip)  # the same video


def wait_until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_closing_ends_the_workers_and_all_that_wait_for_them(begin, monkeypatch):
    monkeypatch.setattr(module, "render_in_worker", treacherous)
    before = set(multiprocessing.active_children())
    strips, found = begin(limit_s=600), []
    for video in ("hang.mp4", "clip.mp4"):
        threading.Thread(target=lambda video=video: found.append(strips.load(clip(video))), daemon=True).start()
        wait_until(lambda: set(multiprocessing.active_children()) - before)
    assert strips.cached(clip("hang.mp4")) is None
    strips.close()
    assert set(multiprocessing.active_children()) == before
    wait_until(lambda: len(found) == 2)
    assert NoStrip("the workers were ended") in found
    assert strips.load(clip(start_s=0.0, stop_s=0.1)) == NoStrip("the workers were ended")
    strips.close()


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    script = f"import sys\nif __name__ == '__main__':\n{code}"
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)


UNDER_TEXTUAL = """
    from pathlib import Path
    from types import SimpleNamespace
    from cia_bench.review.strips import Strips
    class StandIn:
        write = flush = lambda *_: None
        fileno = lambda _: -1
    sys.stderr = StandIn()
    strips = Strips({"epic": Path(sys.argv[1])}, Path(sys.argv[2]))
    print(strips.load(SimpleNamespace(source="epic", video="clip.mp4", start_s=None, stop_s=None)))
    print(Path(f"/proc/{strips.crew[0].process.pid}/fd/2").resolve())
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc, to see where a worker's words go")
def test_workers_start_under_a_screen_and_never_write_on_it(videos, tmp_path):
    run = run_python(UNDER_TEXTUAL, videos, tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Strip(") and run.stdout.endswith("/dev/null\n") and run.stderr == ""


def test_strips_and_their_drawing_need_neither_torch_nor_textual():
    imports = "    import cia_bench.review.strips, cia_bench.review.halfblocks\n"
    assert run_python(imports + "    print({'torch', 'textual'} & {*sys.modules})").stdout == "set()\n"
