"""The synthetic source: that its labels differ in the order of frames only, and that its files come whole and the same.

The proof that nothing but order tells the labels apart has two halves. The scenes of both labels are draws from one
distribution (by Kolmogorov-Smirnov and chi-square tests on every number and name of many scenes). And what a decoder
gives of a scene played backwards is exactly the reverse of what it gives of the same scene played forwards.
"""

import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from conftest import refusal, snapshot
from PIL import Image
from scipy.stats import chi2_contingency, ks_2samp

from cia_bench.build import build_synthetic, read_data, read_record, versions
from cia_bench.errors import BuildError, ConfigError, WriteError
from cia_bench.sources.synthetic import PlannedClip, plan
from cia_bench.sources.synthetic.motions import MOTIONS, Pen, colour, light
from cia_bench.sources.synthetic.render import paint_frames
from cia_bench.sources.synthetic.scenes import SIZES, Scene
from cia_bench.sources.synthetic.videos import MANIFEST, render_clip, render_videos, renderer, scratch_folder
from cia_bench.verify import verify

CODECS = {".mp4": "h264", ".webm": "vp9"}
FALSE_ALARMS = 0.001  # how often all comparisons of one test together would reject equal distributions
RENDERED_BY = {"av": "one version"}


@pytest.fixture(scope="module")
def built(demo) -> Path:
    """A data folder with the tiny synthetic build of seed 0; not to be changed."""
    return demo.folder / "cia-data"


@pytest.fixture
def copied(built, tmp_path) -> Path:
    """A copy of the build that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "cia-data"))


@pytest.fixture(scope="module")
def tiny() -> list[PlannedClip]:
    return plan("tiny", 0)


@pytest.fixture(scope="module")
def scene(tiny) -> Scene:
    """Any scene, for a test to change."""
    return tiny[0].scene


@pytest.fixture(scope="module")
def medium() -> list[PlannedClip]:
    return plan("medium", 0)


def videos_of(data: Path) -> Path:
    return data / "synthetic" / "videos"


def decode(content: bytes) -> np.ndarray:
    """All frames of a video file, uint8 (T, H, W, 3)."""
    with av.open(io.BytesIO(content)) as container:
        container.streams.video[0].codec_context.thread_count = 1  # twice as fast for such small pictures
        return np.array([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def recorder(seen: list):
    """A `progress` that notes the total of each stage it is given."""

    @contextmanager
    def progress(label: str, total: int, unit: str):
        seen.append(total)
        yield lambda count: None

    return progress


# What is planned


@pytest.mark.parametrize("size", SIZES)
def test_each_group_split_and_label_has_as_many_clips_and_files_of_each_kind(size):
    clips = [(clip.scene.motion, clip.split, clip.label, Path(clip.video).suffix) for clip in plan(size, 0)]
    counts = pd.Series(clips).value_counts()
    assert set(counts.index) == set(itertools.product(MOTIONS, ("train", "validation"), (0, 1), CODECS))
    for split in ("train", "validation"):
        expected = getattr(SIZES[size], split) / 4
        assert {count for (_, of, _, _), count in counts.items() if of == split} == {expected}


def test_the_motions_cover_position_size_state_count_and_camera():
    pairs = {frozenset((motion.forward, motion.reverse)) for motion in MOTIONS.values()}
    assert len(pairs) == len(MOTIONS) >= 12
    named = (
        "move-right move-left, move-up move-down, approach recede, turn-up turn-down, open close, fold unfold, "
        "fill empty, cover uncover, split join, brighten dim, enter exit, stack unstack, zoom-in zoom-out"
    )
    assert {frozenset(pair.split()) for pair in named.split(", ")} <= pairs


def looks(scene: Scene) -> dict[str, set]:
    return {
        "shape": {scene.shape, *(thing.shape for thing in scene.things)},
        "hue": {scene.hue, scene.background_hue, *(thing.hue for thing in scene.things)},
        "hue name": {scene.hue_name},
        "background": {scene.background},
    }


def test_train_and_validation_share_no_shape_hue_or_background(medium):
    seen = {
        split: {
            kind: set().union(*(looks(clip.scene)[kind] for clip in medium if clip.split == split))
            for kind in ("shape", "hue", "hue name", "background")
        }
        for split in ("train", "validation")
    }
    for kind, of_train in seen["train"].items():
        assert len(of_train) >= 3 and len(seen["validation"][kind]) >= 3
        assert not of_train & seen["validation"][kind], kind


@pytest.mark.parametrize("field", ["progress", "place", "background_seed", "noise_seed"])
def test_no_two_clips_share_a_scene_forwards_or_backwards(field, tiny, medium):
    for clips in (medium, [*tiny, *plan("tiny", 1)]):
        drawn = [getattr(clip.scene, field) for clip in clips]
        assert len(set(drawn)) == len(drawn)


def test_clips_of_two_builds_never_have_one_name(tiny):
    names = [{clip.video for clip in clips} for clips in (tiny, plan("tiny", 1), plan("small", 0))]
    assert len(set().union(*names)) == sum(map(len, names))


# The labels differ in nothing but order


def played(clip: PlannedClip) -> np.ndarray:
    """The progress of the motion at each frame of the clip's file."""
    return np.array(clip.scene.progress)[:: 1 if clip.label else -1]


def longest_pause(progress: np.ndarray) -> tuple[int, int]:
    """The longest standstill between the first and the last level: its first frame and how many frames it has."""
    runs = [(level, len(list(frames))) for level, frames in itertools.groupby(np.round(progress, 12))]
    starts = np.cumsum([0, *(length for _, length in runs)])
    return max(((int(starts[n]), runs[n][1]) for n in range(1, len(runs) - 1)), key=lambda run: run[1])


def numbers(clip: PlannedClip) -> dict[str, float]:
    """Every number of a clip's scene, and of how its file plays what does not depend on the direction."""
    scene, progress = clip.scene, np.array(clip.scene.progress)
    start, length = longest_pause(played(clip))
    moment = np.random.default_rng([7, scene.noise_seed]).integers(len(progress))
    single = ("lightness", "background_lightness", "background_seed", "noise", "noise_seed")
    return {
        **{name: getattr(scene, name) for name in single},
        **{f"place {n}": value for n, value in enumerate(scene.place)},
        "frames": len(progress),
        "first progress": progress[0],
        "last progress": progress[-1],
        "mean progress": progress.mean(),
        "frames before": (progress == progress[0]).sum(),
        "frames after": (progress == progress[-1]).sum(),
        "largest step": np.diff(progress).max(),
        "things": len(scene.things),
        "shake": np.std(scene.shake),
        "drift": np.std(scene.shake[len(progress) // 2 :]) - np.std(scene.shake[: len(progress) // 2]),
        **{f"shake {side}": np.mean(scene.shake, axis=0)[side] for side in (0, 1)},
        "pause": length,
        "played: start of the pause": start / len(progress),
        "played: progress at a random time": played(clip)[moment],
        "played: when it moves": np.average(np.arange(len(progress) - 1), weights=abs(np.diff(played(clip)))),
    }


def numbers_of_things(clip: PlannedClip) -> list[dict[str, float]]:
    return [
        {
            **{name: getattr(thing, name) for name in ("lightness", "radius")},
            **{f"{name} {side}": getattr(thing, name)[side] for name in ("start", "drift") for side in (0, 1)},
        }
        for thing in clip.scene.things
    ]


def names(clip: PlannedClip) -> dict[str, object]:
    scene = clip.scene
    return {name: getattr(scene, name) for name in ("shape", "hue_name", "hue", "background", "background_hue")}


def told_apart(rows: list[dict], labels: list[int], tests: int = 1) -> list[str]:
    """The columns whose distribution differs between the labels, by Bonferroni over all columns of `tests` tables."""
    frame, labels = pd.DataFrame(rows), np.array(labels)
    limit = FALSE_ALARMS / (tests * len(frame.columns))
    return [name for name, column in frame.items() if _p_value(column, labels) < limit]


def _p_value(column: pd.Series, labels: np.ndarray) -> float:
    if column.nunique() == 1:
        return 1.0
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 12:
        return ks_2samp(column[labels == 1], column[labels == 0], method="asymp").pvalue
    return chi2_contingency(pd.crosstab(column, labels)).pvalue


def test_every_number_and_name_of_scenes_has_one_distribution_under_both_labels(medium):
    labels = [clip.label for clip in medium]
    assert not told_apart([{**numbers(clip), **names(clip)} for clip in medium], labels)
    things = [(row, clip.label) for clip in medium for row in numbers_of_things(clip)]
    assert len(things) > 5000
    assert not told_apart(*map(list, zip(*things, strict=True)))
    kinds = [({"shape": thing.shape, "hue": thing.hue}, clip.label) for clip in medium for thing in clip.scene.things]
    assert not told_apart(*map(list, zip(*kinds, strict=True)))


@pytest.mark.parametrize("motion", MOTIONS)
def test_so_it_is_in_each_group_and_split(motion, medium):
    for split in ("train", "validation"):
        clips = [clip for clip in medium if (clip.scene.motion, clip.split) == (motion, split)]
        rows = [{**numbers(clip), **names(clip)} for clip in clips]
        assert not told_apart(rows, [clip.label for clip in clips], tests=2 * len(MOTIONS))


def test_first_and_last_frames_do_tell_the_labels_apart(medium):
    """By construction, and a check that the comparison above sees what is there."""
    ends = [{"first": played(clip)[0], "last": played(clip)[-1], "middle": 0.0} for clip in medium]
    assert told_apart(ends, [clip.label for clip in medium]) == ["first", "last"]


def test_numbers_and_names_cover_every_field_of_a_scene():
    compared = {"motion", "progress", "place", "things", "shake"}  # the motion by group, the others by several numbers
    compared |= {"shape", "hue_name", "hue", "background", "background_hue"}
    compared |= {"lightness", "background_lightness", "background_seed", "noise", "noise_seed"}
    assert {field.name for field in fields(Scene)} == compared


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("label", [0, 1])
def test_a_file_played_the_other_way_decodes_to_exactly_the_reverse(motion, label, built, tiny):
    kind = sorted(CODECS)[(list(MOTIONS).index(motion) + label) % 2]
    clip = next(
        clip for clip in tiny if (clip.scene.motion, clip.label, Path(clip.video).suffix) == (motion, label, kind)
    )
    frames = decode((videos_of(built) / clip.video).read_bytes())
    other_way = decode(render_clip(replace(clip, label=1 - label)))
    assert len(frames) == len(clip.scene.progress)
    assert np.array_equal(frames, other_way[::-1])
    assert not np.array_equal(frames, other_way)


def test_noise_shake_and_other_things_are_reversed_with_the_motion(medium):
    clip = next(clip for clip in medium if len(clip.scene.things) == 6 and len(clip.scene.progress) < 36)
    for suffix in CODECS:
        ways = [decode(render_clip(replace(clip, video=f"a/b{suffix}", label=label))) for label in (1, 0)]
        assert np.array_equal(ways[0], ways[1][::-1])


# What is on disk


@dataclass(frozen=True)
class Seen:
    """What a rendered file holds, as a decoder says."""

    clip: PlannedClip
    codec: str
    size: tuple[int, int]
    streams: int
    keyframes: list[bool]
    times: list[float]  # seconds
    brightness: np.ndarray  # of each frame, 0 to 255


@pytest.fixture(scope="module")
def seen(built, tiny) -> list[Seen]:
    return [_look(clip, videos_of(built) / clip.video) for clip in tiny]


def _look(clip: PlannedClip, path: Path) -> Seen:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        keyframes, times, brightness = [], [], []
        for packet in container.demux(stream):
            keyframes += [packet.is_keyframe] if packet.size else []
            for frame in packet.decode():
                times.append(frame.time)
                brightness.append(frame.to_ndarray()[: frame.height].mean())  # of YUV the Y
        size = (stream.codec_context.width, stream.codec_context.height)
        name = stream.codec_context.codec.canonical_name
        return Seen(clip, name, size, len(container.streams), keyframes, times, np.array(brightness))


def test_files_are_of_their_kind_with_the_planned_frames_twelve_a_second(seen):
    for file in seen:
        assert (file.codec, file.size, file.streams) == (CODECS[Path(file.clip.video).suffix], (128, 96), 1)
        assert 20 <= len(file.times) == len(file.clip.scene.progress) <= 28
        expected = np.arange(len(file.times)) / 12
        assert np.abs(file.times - expected).max() <= 0.0005 + 1e-9  # webm counts in whole milliseconds


def test_every_frame_is_coded_on_its_own(seen):
    for file in seen:
        assert len(file.keyframes) == len(file.times) and all(file.keyframes), file.clip.video


def test_brightness_in_whatever_order_and_file_sizes_say_nothing(seen, built):
    rows = []
    for number, file in enumerate(seen):
        moment = np.random.default_rng([3, number]).integers(len(file.times))
        size = (videos_of(built) / file.clip.video).stat().st_size
        rows.append(
            {
                "mean": file.brightness.mean(),
                "spread": file.brightness.std(),
                "least": file.brightness.min(),
                "most": file.brightness.max(),
                "at a random time": file.brightness[moment],
                "bytes": size,
                "bytes a frame": size / len(file.times),
            }
        )
    assert not told_apart(rows, [file.clip.label for file in seen])


def test_rooms_that_brighten_do_and_rooms_that_dim_do(seen):
    rooms = [file for file in seen if file.clip.scene.motion == "brighten-dim"]
    assert len(rooms) == 20
    for file in rooms:
        expected = {"brighten": 1, "dim": -1}[file.clip.verb]
        assert np.sign(file.brightness[-1] - file.brightness[0]) == expected, file.clip.video


# What a motion looks like


EMPTY = (1, 2, 3)
RED = (204, 51, 51)  # of lightness 0.5 and saturation 0.6


def picture(scene: Scene, progress: float) -> np.ndarray:
    """The motion of a scene alone, uint8 RGB (192, 256, 3)."""
    image = Image.new("RGB", (256, 192), EMPTY)
    MOTIONS[scene.motion].paint(Pen(image, 192, (0, 0)), scene, progress)
    return np.asarray(image)


def subject(scene: Scene, progress: float) -> np.ndarray:
    """Where a motion paints, bool (192, 256), and for the door where the dark room behind it shows."""
    painted = picture(scene, progress)
    dark_room = colour(scene.background_hue, 0.07)
    return (painted == dark_room).all(-1) if scene.motion == "open-close" else (painted != EMPTY).any(-1)


def width(mask: np.ndarray) -> float:
    columns = np.flatnonzero(mask.any(axis=0))
    return columns[-1] - columns[0]


RISES = {  # what grows from the first frame of the forward verb to the last
    "move-right-move-left": lambda mask: np.argwhere(mask)[:, 1].mean(),
    "move-up-move-down": lambda mask: -np.argwhere(mask)[:, 0].mean(),
    "enter-exit": np.sum,
    "approach-recede": np.sum,
    "turn-up-turn-down": lambda mask: -width(mask),
    "open-close": np.sum,
    "fold-unfold": lambda mask: -width(mask),
    "split-join": width,
    "stack-unstack": np.sum,
}
CASES = [
    (tuple(np.random.default_rng(number).uniform(size=8)), shape)
    for number, shape in enumerate(("disc", "square", "triangle", "cross", "hexagon", "star", "diamond", "pentagon"))
]


@pytest.mark.parametrize("motion", RISES)
def test_a_thing_goes_the_way_its_verb_says(motion, scene):
    for place, shape in CASES:
        drawn = replace(scene, motion=motion, place=place, shape=shape)
        before, after = (RISES[motion](subject(drawn, progress)) for progress in (0.0, 1.0))
        assert after > before + 10  # pixels


def test_a_glass_fills_and_a_cloth_covers(scene):
    for place, shape in CASES:
        for motion, grows in (("fill-empty", True), ("cover-uncover", False)):
            drawn = replace(scene, motion=motion, place=place, shape=shape, hue=0.0, lightness=0.5)
            red = [(picture(drawn, progress) == RED).all(-1).sum() for progress in (0.0, 1.0)]
            assert max(red) == red[grows] > 10 * min(red), motion


def test_the_camera_goes_near_and_up_and_light_rises(scene):
    for place, _ in CASES:
        drawn = replace(scene, place=place)
        near = [MOTIONS["zoom-in-zoom-out"].camera(drawn, progress)[2] for progress in (0.0, 1.0)]
        height = [MOTIONS["tilt-up-tilt-down"].camera(drawn, progress)[1] for progress in (0.0, 1.0)]
        bright = [light(replace(drawn, motion="brighten-dim"), progress) for progress in (0.0, 1.0)]
        assert near[1] > 2 * near[0] and height[1] < height[0] - 0.4 and bright[1] > 2 * bright[0]
        assert light(drawn, 0.0) == 1.0


@pytest.mark.parametrize("motion", MOTIONS)
def test_first_and_last_frame_differ_even_of_partial_motions(motion, medium):
    clips = [clip for clip in medium if clip.scene.motion == motion]
    for clip in sorted(clips, key=lambda clip: clip.scene.progress[-1] - clip.scene.progress[0])[:6]:
        ends = (clip.scene.progress[0], clip.scene.progress[-1])
        still = replace(clip.scene, progress=ends, shake=((0.0, 0.0),) * 2, things=(), noise=0.0)
        first, last = (frame.astype(int) for frame in paint_frames(still))
        changed = (np.abs(first - last).max(axis=-1) > 20).mean()
        assert changed > 0.005, clip.video  # of the picture: more than 60 pixels


def test_progress_only_rises_and_stands_still_on_its_way(tiny, medium):
    for clip in (*tiny, *medium):
        steps = np.diff(clip.scene.progress)
        assert (steps >= 0).all() and 0 <= clip.scene.progress[0] < clip.scene.progress[-1] <= 1
    paused = [longest_pause(np.array(clip.scene.progress))[1] > 3 for clip in medium]
    assert 0.7 < np.mean(paused) < 1


def test_medium_is_harder_than_small(medium):
    small = plan("small", 0)

    def spans(clips):
        return np.array([clip.scene.progress[-1] - clip.scene.progress[0] for clip in clips])

    def pauses(clips):
        return [longest_pause(np.array(clip.scene.progress))[1] / len(clip.scene.progress) for clip in clips]

    def things(clips):
        return [len(clip.scene.things) for clip in clips]

    assert min(spans(small)) >= 0.84 and min(spans(medium)) >= 0.4
    assert (spans(medium) < 0.8).mean() > 0.2  # a fifth and more of the motion is missing
    assert max(pauses(small)) < 0.3 and np.mean(np.array(pauses(medium)) > 0.3) > 0.2
    assert (max(things(small)), max(things(medium))) == (2, 6)
    assert np.std([clip.scene.shake[0] for clip in medium]) > 0.01
    assert not np.any([clip.scene.shake[0] for clip in small])


# Rendering


def test_a_build_is_sound_and_says_what_it_is(built, tiny):
    assert verify(built) == []
    data = read_data(built)
    record = read_record(built / "synthetic")
    assert record["settings"] == {"size": "tiny", "seed": 0}
    assert (record["groups"], record["clips"]) == (len(data.groups), len(data.clips)) == (14, 280)
    assert record["inputs"] == []
    assert record["versions"] == versions("av", "pillow")
    assert data.groups.status.unique().tolist() == ["rendered"]
    rows = data.clips.set_index("video")
    for clip in tiny:
        row = rows.loc[clip.video]
        assert (row.label, row.verb, row.split) == (clip.label, clip.verb, clip.split)
        assert row.clip_id.startswith("tiny-0/") and np.isnan(row.start_s) and np.isnan(row.stop_s)
    files = {path.relative_to(videos_of(built)).as_posix() for path in videos_of(built).rglob("*") if path.is_file()}
    assert files == {f"tiny-0/{MANIFEST}", *rows.index}


def test_another_process_renders_the_same_bytes_and_another_seed_other_bytes(built, tiny):
    """The build rendered in worker processes; this is the test's own."""
    files = [(videos_of(built) / clip.video).read_bytes() for clip in tiny]
    assert len(set(files)) == len(files)
    for number in range(0, len(tiny), 23):
        assert render_clip(tiny[number]) == files[number], tiny[number].video
    others = plan("tiny", 1)
    assert all(render_clip(others[number]) not in files for number in (0, 2))


def test_a_rerun_renders_nothing_and_leaves_the_same_bytes(copied):
    before = snapshot(copied)
    times = {path: path.stat().st_mtime_ns for path in videos_of(copied).rglob("*")}
    totals = []
    build_synthetic(copied, "tiny", 0, recorder(totals))
    assert totals == [] and snapshot(copied) == before
    assert {path: path.stat().st_mtime_ns for path in videos_of(copied).rglob("*")} == times


def test_a_damaged_and_a_missing_video_are_rendered_again_and_no_other(copied, built, tiny):
    gone, cut, swapped, other = (videos_of(copied) / tiny[number].video for number in (0, 3, 100, 104))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:1000])
    swapped.write_bytes(other.read_bytes())  # a sound video, but not this one
    times = {path: path.stat().st_mtime_ns for path in videos_of(copied).rglob("*.*") if path not in (cut, swapped)}
    totals = []
    build_synthetic(copied, "tiny", 0, recorder(totals))
    assert totals == [3] and snapshot(copied) == snapshot(built)
    assert {path: path.stat().st_mtime_ns for path in times if path.name != MANIFEST} == {
        path: time for path, time in times.items() if path.name != MANIFEST
    }


def test_a_build_that_was_killed_while_rendering_goes_on(copied, built, tiny):
    """The folder as a killed run leaves it: no tables, the first videos and a half one in the scratch folder."""
    folder = copied / "synthetic"
    scratch = scratch_folder(folder / "videos", "tiny-0", renderer())
    scratch.mkdir()
    (folder / "videos" / "tiny-0").rename(scratch / "tiny-0")
    (scratch / "tiny-0" / MANIFEST).unlink()
    for path in (*folder.glob("*.parquet"), folder / "build.json"):
        path.unlink()
    missing = {tiny[number].video for number in (5, 77, 279)}
    for video in missing:
        path = scratch / video
        path.rename(path.with_name(f".part-123-{path.name}")).write_bytes(b"half")
    ready = {clip.video for clip in tiny} - missing
    nodes = {video: (scratch / video).stat().st_ino for video in ready}
    build_synthetic(copied, "tiny")
    assert snapshot(copied) == snapshot(built)
    assert {video: (folder / "videos" / video).stat().st_ino for video in ready} == nodes


RENDER = """
import sys
from pathlib import Path
from cia_bench.sources.synthetic import plan
from cia_bench.sources.synthetic.videos import render_videos
render_videos(plan("tiny", 0)[:14], Path(sys.argv[1]), {"av": "one version"})
"""


def test_a_rendering_that_is_killed_goes_on_where_it_was(built, tiny, tmp_path):
    command = [sys.executable, "-c", RENDER, tmp_path]
    scratch = scratch_folder(tmp_path, "tiny-0", RENDERED_BY)
    process = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while len(list(scratch.glob("tiny-0/*/train-*"))) < 3 and time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the group is this process and its workers
        process.wait()
    assert not (tmp_path / "tiny-0").exists()
    nodes = {path.relative_to(scratch): path.stat().st_ino for path in scratch.glob("tiny-0/*/[tv]*")}
    assert 3 <= len(nodes) < 14
    render_videos(tiny[:14], tmp_path, RENDERED_BY)
    assert {path: (tmp_path / path).stat().st_ino for path in nodes} == nodes
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-0"]
    for clip in tiny[:14]:
        assert (tmp_path / clip.video).read_bytes() == (videos_of(built) / clip.video).read_bytes()


def test_other_versions_render_all_again_and_trust_no_scratch_of_others(tiny, tmp_path):
    render_videos(tiny[:4], tmp_path, RENDERED_BY)
    stale = scratch_folder(tmp_path, "tiny-0", RENDERED_BY) / tiny[0].video
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    totals = []
    render_videos(tiny[:4], tmp_path, {"av": "another"}, recorder(totals))
    assert totals == [4] and [path.name for path in tmp_path.iterdir()] == ["tiny-0"]
    assert (tmp_path / tiny[0].video).read_bytes() == render_clip(tiny[0])
    render_videos(tiny[:4], tmp_path, {"av": "another"}, recorder(totals))
    assert totals == [4]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"versions": {"av": "one version"}}', '{"versions": {"av": "one version"}, "sha256": 3}', "\x00"],
)
def test_videos_without_a_sound_manifest_are_rendered_again(text, tiny, tmp_path):
    render_videos(tiny[:2], tmp_path, RENDERED_BY)
    before = snapshot(tmp_path)
    (tmp_path / "tiny-0" / MANIFEST).write_text(text)
    totals = []
    render_videos(tiny[:2], tmp_path, RENDERED_BY, recorder(totals))
    assert totals == [2] and snapshot(tmp_path) == before


# What goes wrong


@pytest.mark.parametrize(("size", "seed"), [("tiny", 1), ("small", 0)])
def test_another_build_in_the_folder_is_refused_before_anything_is_rendered(size, seed, copied):
    before, totals = snapshot(copied), []
    with pytest.raises(BuildError, match="synthetic holds another build .size tiny, seed 0, 14 groups.*choose another"):
        build_synthetic(copied, size, seed, recorder(totals))
    assert totals == [] and snapshot(copied) == before


def test_an_unknown_size_and_a_negative_seed_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown size 'huge'; choose from tiny, small, medium"):
        build_synthetic(tmp_path / "data", "huge")
    with pytest.raises(ConfigError, match="seed is -1; it can't be negative"):
        build_synthetic(tmp_path / "data", "tiny", -1)
    assert "unknown size 'huge'" in refusal("build", "--source", "synthetic", "--size", "huge", cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_named_and_kept(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(WriteError, match="can't render into .*data/synthetic/videos"):
        build_synthetic(tmp_path / "data", "tiny")
    assert snapshot(tmp_path) == {"data": b"mine"}


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["cia", *sys.argv[2:]]
from cia_bench.cli import main
main()
"""


def refused_for_space(limit: int, data: Path) -> None:
    """Build where no file may grow beyond `limit` bytes, and expect the one line that says so."""
    command = [sys.executable, "-c", LIMITED, str(limit), "build", "--source", "synthetic", "--size", "tiny"]
    run = subprocess.run([*command, "--out", data], capture_output=True, text=True)
    assert run.returncode == 1, run.stdout
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("Error: can't render into "), run.stderr
    assert "File too large; nothing was changed there" in run.stderr


def test_no_space_while_rendering_leaves_nothing(built, tiny, tmp_path):
    sizes = [(videos_of(built) / clip.video).stat().st_size for clip in tiny]
    limit = max(sizes[:24]) - 1  # the disk takes the first video and refuses the largest of the first two dozen
    assert sizes[0] <= limit
    refused_for_space(limit, tmp_path / "new" / "data")
    assert not list(tmp_path.iterdir())


def test_no_space_while_rendering_leaves_an_existing_build_as_it_was(copied, tiny):
    (videos_of(copied) / tiny[9].video).unlink()
    before = snapshot(copied)
    refused_for_space(3000, copied)
    assert snapshot(copied) == before
    assert not [path for path in copied.rglob("*") if path.name.startswith(".part")]
