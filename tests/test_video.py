import random
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import SHARED

from cia_bench import video
from cia_bench.errors import ConfigError, DecodeError
from cia_bench.video import read_frame_sets, read_frames

WIDTH, HEIGHT = 96, 64
ROWS, COLUMNS = 3, 4  # blocks of a painted number, one bit each
H264 = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:keyint=12:min-keyint=12:scenecut=0"}
OPEN_GROUPS = {"preset": "ultrafast", "x264-params": H264["x264-params"] + ":open-gop=1"}
INTRA_REFRESH = {"preset": "ultrafast", "x264-params": "bframes=0:keyint=20:intra-refresh=1:scenecut=0"}
VPX = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5"}
KINDS = {  # name: codec, frames a second, options
    "h264.mp4": ("libx264", 25, H264),
    "open_groups.mp4": ("libx264", 25, OPEN_GROUPS),
    "open_groups.mkv": ("libx264", 25, OPEN_GROUPS),
    "intra_refresh.mp4": ("libx264", 25, INTRA_REFRESH),
    "h264.ts": ("libx264", 25, H264),
    "mpeg4.avi": ("mpeg4", 25, {"bf": "2", "g": "12"}),
    "vp8.webm": ("libvpx", 30, {**VPX, "g": "24"}),
    "vp9.webm": ("libvpx-vp9", 12, {**VPX, "g": "24"}),
}
LENGTH = 150


def paint(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Draw a number below 4096 as black and white blocks, its lowest bit at the top left: uint8, (height, width, 3)."""
    bits = np.array([number >> bit & 1 for bit in range(ROWS * COLUMNS)]).reshape(ROWS, COLUMNS)
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    return np.repeat((bits[rows][:, columns] * 255).astype(np.uint8)[..., None], 3, axis=2)


def read_number(image: np.ndarray) -> int:
    """Read a painted number back from the middles of its blocks."""
    height, width = image.shape[:2]
    rows = (np.arange(ROWS) * 2 + 1) * height // (2 * ROWS)
    columns = (np.arange(COLUMNS) * 2 + 1) * width // (2 * COLUMNS)
    bits = (image.mean(axis=2)[rows][:, columns] > 127).ravel()
    return int(sum(1 << bit for bit in np.flatnonzero(bits)))


def numbers(frames: video.Frames) -> list[int]:
    return [read_number(image) for image in frames.images]


def write_clip(path: Path, codec: str, images: list, rate: int, options: dict, ticks=None, audio_s=0, muxer=None):
    """Write images as a video; `ticks` are their times in 1/rate seconds, `muxer` the options of the file format."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        sound = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48000) if audio_s else None
        for image, tick in zip(images, ticks or range(len(images)), strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for start in range(0, int(audio_s * 48000), 960):
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), "fltp", "stereo")
            silence.sample_rate, silence.pts, silence.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(silence))
        if sound:
            container.mux(sound.encode())


def write_numbers(path: Path, codec="libx264", count=10, rate=25, options=H264, size=(HEIGHT, WIDTH), **more) -> Path:
    write_clip(path, codec, [paint(number, *size) for number in range(count)], rate, options, **more)
    return path


def decode_all(path: Path) -> list[tuple[Fraction, av.VideoFrame]]:
    """Every frame and its time, slowly and plainly: no seeking, no choice."""
    with av.open(str(path)) as container:
        zero_s = Fraction(max(container.start_time or 0, 0), 1_000_000)
        frames = [(frame.pts * frame.time_base - zero_s, frame) for frame in container.decode(video=0)]
        return sorted(frames, key=lambda pair: pair[0])


def choose_plainly(frames: list[tuple], start_s: float | None, stop_s: float | None, count: int) -> list[tuple]:
    """The frames that the rule in the docstring of read_frames gives, by exact fractions."""
    inside = frames
    if start_s is not None:
        inside = [pair for pair in frames if start_s - 1e-6 <= pair[0] <= stop_s + 1e-6]
        inside = inside or [pair for pair in frames if pair[0] <= start_s][-1:]
    first, last = inside[0][0], inside[-1][0]
    wanted = [first + (last - first) * Fraction(i, count - 1) for i in range(count)] if count > 1 else None
    return [min(inside, key=lambda pair: abs(pair[0] - time)) for time in wanted or [(first + last) / 2]]


def rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")


def assert_same(frames: video.Frames, expected: list[tuple]) -> None:
    np.testing.assert_allclose(frames.times_s, [float(time) for time, _ in expected], rtol=0, atol=1e-9)
    assert frames.images.dtype == np.uint8 and frames.times_s.dtype == np.float64
    np.testing.assert_array_equal(frames.images, np.stack([rgb(frame) for _, frame in expected]))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """One painted clip of each kind, with several groups of pictures."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_numbers(folder / name, codec, LENGTH, rate, options)
        for name, (codec, rate, options) in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_gives_its_frames_in_order_first_and_last_included(kind, clips):
    frames = read_frames(clips[kind], None, None, LENGTH)
    assert numbers(frames) == list(range(LENGTH))
    assert not frames.cut
    few = read_frames(clips[kind], None, None, 7)
    assert (numbers(few)[0], numbers(few)[-1]) == (0, LENGTH - 1)
    assert_same(few, choose_plainly(decode_all(clips[kind]), None, None, 7))


@pytest.mark.parametrize("kind", KINDS)
def test_any_segment_of_any_codec_equals_the_plain_choice(kind, clips):
    everything = decode_all(clips[kind])
    assert [read_number(rgb(frame)) for _, frame in everything] == list(range(LENGTH))
    end, chance = float(everything[-1][0]), random.Random(0)
    for _ in range(25):
        start, stop = sorted(chance.uniform(float(everything[0][0]), end) for _ in range(2))
        if chance.random() < 0.3:
            stop = min(start + chance.uniform(0, 0.1), end)
        count = chance.choice([1, 2, 3, 8, 16])
        frames = read_frames(clips[kind], start, stop, count)
        assert_same(frames, choose_plainly(everything, start, stop, count))
        assert not frames.cut


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.webm", "libvpx"), ("w.webm", "libvpx-vp9")])
def test_a_variable_frame_rate_is_spread_by_time_not_by_number(name, codec, tmp_path):
    ticks = [0, 1, 2, 3, 4, 5, 6, 10, 15, 20]
    options = H264 if codec == "libx264" else VPX
    path = write_numbers(tmp_path / name, codec, 10, 20, options, ticks=ticks)
    frames = read_frames(path, None, None, 5)  # wanted: ticks 0, 5, 10, 15, 20
    assert numbers(frames) == [0, 5, 7, 8, 9]
    np.testing.assert_allclose(frames.times_s, [0, 0.25, 0.5, 0.75, 1])
    assert numbers(read_frames(path, 0.35, 0.45, 2)) == [6, 6]


@pytest.mark.parametrize(
    ("name", "codec"), [("one.mp4", "libx264"), ("one.webm", "libvpx"), ("two.webm", "libvpx-vp9")]
)
def test_a_file_of_one_frame_repeats_it(name, codec, tmp_path):
    path = write_numbers(tmp_path / name, codec, 1, 25, {})
    frames = read_frames(path, None, None, 4)
    assert frames.images.shape == (4, HEIGHT, WIDTH, 3)
    assert frames.times_s.tolist() == [0, 0, 0, 0]
    assert not read_frames(path, 0.0, 0.04, 1).cut


@pytest.mark.parametrize(("name", "codec"), [("odd.webm", "libvpx-vp9"), ("odd.mkv", "libvpx"), ("odd.avi", "mpeg4")])
def test_odd_sizes_keep_their_last_row_and_column(name, codec, tmp_path):
    path = write_numbers(tmp_path / name, codec, 5, 25, {}, size=(61, 97))
    frames = read_frames(path, None, None, 5)
    assert frames.images.shape == (5, 61, 97, 3)
    assert numbers(frames) == [0, 1, 2, 3, 4]


def test_red_comes_first(tmp_path):
    write_clip(tmp_path / "red.mp4", "libx264", [np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8)] * 2, 25, {})
    red, green, blue = read_frames(tmp_path / "red.mp4", None, None, 1).images[0].mean(axis=(0, 1))
    assert red > 240 and green < 15 and blue < 15


UPRIGHT = {  # a display matrix (a, b, c, d), and what it does to a stored picture
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # a phone held upright: a quarter turn clockwise
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", UPRIGHT)
def test_frames_are_turned_as_the_display_matrix_says(matrix, tmp_path):
    path = write_numbers(tmp_path / "turned.mp4", count=7)
    a, b, c, d = (value << 16 for value in matrix)
    content = bytearray(path.read_bytes())
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    frames = read_frames(path, None, None, 7)
    for number, image in enumerate(frames.images):
        stored = UPRIGHT[matrix](paint(number))
        assert image.shape == stored.shape
        assert np.abs(image.astype(int) - stored).mean() < 20


def test_an_edit_list_hides_frames_and_moves_zero(tmp_path):
    path = write_numbers(tmp_path / "edited.mp4", count=20)
    content = bytearray(path.read_bytes())
    entry = content.index(b"elst") + 12  # after the type, version, flags and count
    duration, media_time = struct.unpack_from(">ii", content, entry)
    struct.pack_into(">ii", content, entry, duration - 5 * duration // 20, media_time + 5 * 512)
    path.write_bytes(content)
    frames = read_frames(path, None, None, 15)
    assert numbers(frames) == list(range(5, 20))
    np.testing.assert_allclose(frames.times_s, np.arange(15) / 25, atol=1e-9)
    assert numbers(read_frames(path, 0.2, 0.28, 3)) == [10, 11, 12]


def test_a_packet_that_shows_no_frame_is_no_frame(tmp_path):
    path, hidden = write_numbers(tmp_path / "plain.webm", "libvpx", 10, 25, {}), tmp_path / "hidden.webm"
    with av.open(str(path)) as source, av.open(str(hidden), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                content = bytearray(packet)
                content[0] &= 0xEF if packet.pts == 200 else 0xFF  # VP8's show_frame bit, cleared in frame 5
                copy = av.Packet(bytes(content))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.duration, copy.is_keyframe, copy.stream = packet.duration, packet.is_keyframe, stream
                target.mux(copy)
    assert numbers(read_frames(hidden, None, None, 9)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert numbers(read_frames(hidden, 0.2, 0.2, 1)) == [4]


def test_mpeg_ts_starts_at_zero_wherever_its_clock_does(tmp_path):
    path = write_numbers(tmp_path / "late.ts", count=30, muxer={"mpegts_copyts": "0", "muxdelay": "0.7"})
    with av.open(str(path)) as container:
        assert container.start_time > 0
    frames = read_frames(path, None, None, 30)
    assert numbers(frames) == list(range(30))
    np.testing.assert_allclose(frames.times_s, np.arange(30) / 25, atol=1e-6)
    assert numbers(read_frames(path, 0.6, 0.8, 6)) == [15, 16, 17, 18, 19, 20]


def test_frames_at_the_very_ends_of_an_interval_belong_to_it(clips):
    inexact = 0.1 + 0.2 + 0.1 + 0.04  # 0.44000000000000006
    assert numbers(read_frames(clips["h264.mp4"], inexact, 3 * 0.2 + 1e-15, 2)) == [11, 15]
    assert numbers(read_frames(clips["h264.mp4"], 0.4401, 0.5999, 2)) == [12, 14]


def test_between_two_frames_the_one_on_display_is_taken(clips):
    frames = read_frames(clips["h264.mp4"], 0.41, 0.43, 3)
    assert numbers(frames) == [10, 10, 10]
    np.testing.assert_allclose(frames.times_s, 0.4)


def test_one_frame_is_the_middle_and_of_two_the_earlier(clips):
    assert numbers(read_frames(clips["h264.mp4"], 0.4, 0.8, 1)) == [15]
    assert numbers(read_frames(clips["h264.mp4"], 0.4, 0.84, 1)) == [15]  # 15 and 16 are as near


def test_too_few_frames_repeat_in_order_and_never_loop(clips):
    assert numbers(read_frames(clips["h264.mp4"], 0.4, 0.48, 6)) == [10, 10, 11, 11, 12, 12]


def test_an_end_beyond_the_file_is_cut_and_said(clips):
    end = LENGTH / 25
    frames = read_frames(clips["h264.mp4"], end - 0.2, end + 5, 5)
    assert numbers(frames) == [145, 146, 147, 148, 149]
    assert frames.cut
    assert not read_frames(clips["h264.mp4"], end - 0.2, end + 0.03, 2).cut  # within a frame's duration


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_beyond_the_file_is_refused(kind, clips):
    end = float(decode_all(clips[kind])[-1][0]) + 1 / KINDS[kind][1]
    last = read_frames(clips[kind], end - 0.01, end + 1, 1)
    assert numbers(last) == [LENGTH - 1]
    for start in (end + 0.001, end + 100):
        with pytest.raises(DecodeError, match=f"{kind} ends at .* before the interval starts"):
            read_frames(clips[kind], start, start + 1, 1)


def test_no_frames_and_no_intervals_are_refused(clips):
    path = clips["h264.mp4"]
    for start, stop, count in [(0, 1, 0), (2, 1, 4), (None, 1, 4), (0, None, 4), (float("nan"), 1, 4), (0, 1e30, 4)]:
        with pytest.raises(ConfigError):
            read_frames(path, start, stop, count)
    for counts in [(), (4, 0)]:
        with pytest.raises(ConfigError, match="1 frame or more"):
            read_frame_sets(path, None, None, counts)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """The presentation time of each packet given to the decoder."""
    times, feed = [], video._feed

    def listen(decoder, packet, is_end):
        times.append(packet.pts)
        return feed(decoder, packet, is_end)

    monkeypatch.setattr(video, "_feed", listen)
    return times


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.ts", "vp8.webm", "vp9.webm"])
def test_a_late_segment_decodes_its_own_group_of_pictures_only(kind, clips, decoded):
    with av.open(str(clips[kind])) as container:
        packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
        unit = container.streams.video[0].time_base
    pts = sorted(time for time, _ in packets)
    first, last = pts[110], pts[114]
    frames = read_frames(clips[kind], float((first - pts[0]) * unit), float((last - pts[0]) * unit), 3)
    assert numbers(frames) == [110, 112, 114]
    keyframe = max(time for time, is_keyframe in packets if is_keyframe and time <= first)
    assert keyframe > pts[80]
    assert decoded[0] == keyframe
    assert len(decoded) <= pts.index(last) - pts.index(keyframe) + 1 + 3  # at most three frames come before their turn


def test_a_whole_file_decodes_each_packet_at_most_once_and_skips_groups(clips, decoded):
    assert numbers(read_frames(clips["h264.mp4"], None, None, LENGTH)) == list(range(LENGTH))
    assert len(decoded) == len(set(decoded)) == LENGTH
    for start, stop in [(None, None), (0.0, LENGTH / 25)]:
        decoded.clear()
        read_frames(clips["h264.mp4"], start, stop, 3)
        assert len(decoded) < 30


INTERLACED = {"preset": "ultrafast", "x264-params": H264["x264-params"] + ":interlaced=1"}


@pytest.mark.parametrize(
    ("kind", "served"), [("h264.mp4", [0, 2, 4, 6]), ("open_groups.mkv", [0, 2, 4, 6]), ("interlaced.mp4", range(7))]
)
def test_no_picture_is_decoded_that_is_not_chosen_and_serves_no_other(kind, served, clips, monkeypatch, tmp_path):
    path = clips.get(kind) or write_numbers(tmp_path / kind, count=20, options=INTERLACED, size=(HEIGHT * 2, WIDTH))
    shown, feed = [], video._feed

    def listen(*given):
        frames = feed(*given)
        shown.extend(read_number(rgb(frame)) for frame in frames)
        return frames

    monkeypatch.setattr(video, "_feed", listen)
    assert numbers(read_frames(path, 0.16, 0.28, 2)) == [4, 7]
    assert shown == [*served, 7, 8]  # decoded as 0 4 2 1 3 8 6 5 7: of three B-frames the middle one is referred to


def test_packets_that_take_too_much_memory_are_read_again(clips, monkeypatch):
    expected = {
        kind: [read_frames(clips[kind], *interval, 7) for interval in [(None, None), (3.1, 4.9)]] for kind in KINDS
    }
    opened, real = [], video._open
    monkeypatch.setattr(video, "_open", lambda path, seek_s: opened.append(seek_s) or real(path, seek_s))
    monkeypatch.setattr(video, "KEPT_BYTES", 100)
    for kind, (whole, part) in expected.items():
        np.testing.assert_array_equal(read_frames(clips[kind], None, None, 7).images, whole.images)
        np.testing.assert_array_equal(read_frames(clips[kind], 3.1, 4.9, 7).images, part.images)
    opened.clear()
    read_frames(clips["h264.mp4"], 3.1, 4.9, 7)
    assert opened == [3.1, 3.1]


@pytest.mark.parametrize("interval", [(None, None), (1.1, 5.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_several_counts_of_a_clip_are_decoded_once(kind, interval, clips, decoded):
    counts = (16, 8, 1, 16)
    expected, fed = [], []  # for each count alone: its frames, and how many packets the decoder was given
    for count in counts:
        decoded.clear()
        expected.append(read_frames(clips[kind], *interval, count))
        fed.append(len(decoded))
    decoded.clear()
    found = read_frame_sets(clips[kind], *interval, counts)
    assert max(fed) <= len(decoded) <= fed[0] + fed[1]
    for one, other in zip(found, expected, strict=True):
        assert one.images.tobytes() == other.images.tobytes() and one.images.shape == other.images.shape
        assert one.times_s.tobytes() == other.times_s.tobytes() and one.cut == other.cut


def test_sets_of_the_same_frames_share_their_memory(clips):
    first, second, few = read_frame_sets(clips["h264.mp4"], None, None, (7, 7, 3))
    assert np.shares_memory(first.images, second.images) and numbers(few) == [0, 74, 149]


def test_a_seek_that_lands_too_late_is_not_believed(clips, monkeypatch):
    opened, real = [], video._open

    def land_late(path, seek_s):
        opened.append(seek_s)
        return real(path, None if seek_s is None else seek_s + 3)

    monkeypatch.setattr(video, "_open", land_late)
    assert numbers(read_frames(clips["h264.mp4"], 2.5, 2.54, 2)) == [63, 63]
    assert opened == [2.5, 0.5, None]


def test_the_same_call_gives_the_same_bytes(clips):
    first, second = (read_frames(clips["vp9.webm"], 1.1, 6.0, 8) for _ in range(2))
    assert first.images.tobytes() == second.images.tobytes()
    assert first.times_s.tobytes() == second.times_s.tobytes()


@pytest.mark.parametrize("name", ["long.mp4", "long.webm"])
def test_sound_that_outlasts_the_pictures_is_no_truncation(name, tmp_path):
    codec, options = ("libx264", H264) if name.endswith("mp4") else ("libvpx", {})
    path = write_numbers(tmp_path / name, codec, 20, 25, options, audio_s=3)
    assert numbers(read_frames(path, None, None, 20)) == list(range(20))
    assert read_frames(path, 0.5, 2.5, 2).cut
    with pytest.raises(DecodeError, match=f"{name} ends at 0.800 s"):
        read_frames(path, 1.0, 2.0, 2)


def test_a_cut_that_costs_only_sound_after_the_pictures_is_no_truncation(tmp_path):
    path = write_numbers(tmp_path / "quiet.webm", "libvpx", 20, 25, {}, audio_s=3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    with av.open(str(path)) as container:
        assert max(packet.pts for packet in container.demux(audio=0) if packet.size) < 2800  # milliseconds
    assert numbers(read_frames(path, None, None, 20)) == list(range(20))


@pytest.mark.parametrize("name", ["front.mp4", "back.mp4", "cut8.webm", "cut9.webm", "cut.mkv"])
def test_a_truncated_file_is_refused_wherever_it_was_cut(name, tmp_path):
    codec = {"cut8.webm": "libvpx", "cut9.webm": "libvpx-vp9"}.get(name, "libx264")
    options = H264 if codec == "libx264" else VPX
    muxer = {"movflags": "faststart"} if name == "front.mp4" else {}
    path = write_numbers(tmp_path / name, codec, 60, 25, options, muxer=muxer)
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.7, 0.8):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DecodeError, match=f"{name} "):
            read_frames(path, None, None, 60)
        with pytest.raises(DecodeError, match=f"{name} "):
            read_frames(path, 1.8, 2.4, 8)


def test_a_last_frame_that_lacks_a_few_bytes_is_refused(tmp_path):
    path = write_numbers(tmp_path / "almost.mp4", muxer={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DecodeError, match="almost.mp4 is damaged at 0.3[26]0 s"):
        read_frames(path, None, None, 10)


def spoil_packet(path: Path, seconds: float, byte: int) -> None:
    """Overwrite thirty bytes of the packet shown at that time."""
    with av.open(str(path)) as container:
        unit = container.streams.video[0].time_base
        packets = [packet for packet in container.demux(video=0) if packet.size]
        (content,) = [bytes(packet) for packet in packets if abs(packet.pts * unit - seconds) < 0.01]
    whole = path.read_bytes()
    assert whole.count(content) == 1
    place = whole.index(content) + 100
    path.write_bytes(whole[:place] + bytes([byte]) * 30 + whole[place + 30 :])


def write_noise(path: Path, codec: str, options: dict) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (30, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    write_clip(path, codec, list(images.repeat(8, axis=1).repeat(8, axis=2)), 25, options)
    return path


HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:keyint=10:min-keyint=10:scenecut=0:pools=1"}


@pytest.mark.parametrize(
    ("name", "codec", "options", "byte"),
    [
        ("v.mp4", "libx264", {"preset": "ultrafast", "bf": "0", "g": "10", "sc_threshold": "0"}, 0xA5),
        ("v.avi", "mpeg4", {"bf": "0", "g": "10", "sc_threshold": "1000000000"}, 0xA5),
        ("w.mp4", "libx265", HEVC, 0xFF),
    ],
)
def test_frames_made_from_a_damaged_one_are_refused_with_it(name, codec, options, byte, tmp_path):
    path = write_noise(tmp_path / name, codec, options)
    everything = decode_all(path)
    times = [float(time) for time, _ in everything]
    spoil_packet(path, times[12], byte)  # at which the decoder stumbles: most others it does not notice
    for first, last in [(12, 13), (15, 17), (0, 29)]:
        with pytest.raises(DecodeError, match=f"{name} (is damaged at 0.48|can't be read as video)"):
            read_frames(path, times[first], times[last], 30)
    for first, last in [(0, 9), (20, 29)]:  # the groups of pictures before and after it
        frames = read_frames(path, times[first], times[last], 4)
        assert_same(frames, choose_plainly(everything, times[first], times[last], 4))


def test_an_avi_whose_index_is_damaged_keeps_its_times(tmp_path):
    path = write_numbers(tmp_path / "v.avi", "mpeg4", 50, 25, {"bf": "0", "g": "10"})
    everything, content = decode_all(path), bytearray(path.read_bytes())
    entry = content.index(b"idx1") + 8 + 16 * 20  # of the third keyframe
    content[entry : entry + 16] = bytes(16)
    path.write_bytes(content)
    for start, stop in [(1.0, 1.2), (1.4, 1.9)]:
        assert_same(read_frames(path, start, stop, 3), choose_plainly(everything, start, stop, 3))


@pytest.mark.parametrize("length", [b"00:00:0x.800000000", b"xx:00:00.800000000", b"00-00-00.800000000"])
def test_a_length_that_is_none_is_not_believed(length, tmp_path):
    path = write_numbers(tmp_path / "v.mkv", count=20)
    whole = path.read_bytes()
    assert whole.count(b"00:00:00.800000000") == 1
    path.write_bytes(whole.replace(b"00:00:00.800000000", length))
    assert numbers(read_frames(path, None, None, 20)) == list(range(20))


def test_a_segment_before_the_cut_of_a_truncated_file_is_read(tmp_path):
    path = write_numbers(tmp_path / "cut.webm", "libvpx", 100, 25, {"g": "25"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert numbers(read_frames(path, 0.4, 0.48, 3)) == [10, 11, 12]
    with pytest.raises(DecodeError, match="truncated"):
        read_frames(path, 0.4, 3.9, 3)


def test_a_matroska_file_without_its_own_tag_is_held_to_its_whole_length(tmp_path):
    path = write_numbers(tmp_path / "tagless.webm", "libvpx", 50, 25, {}, audio_s=3)
    whole = path.read_bytes().replace(b"DURATION", b"DURATIOM")
    path.write_bytes(whole)
    assert numbers(read_frames(path, None, None, 50)) == list(range(50))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DecodeError, match="truncated"):
        read_frames(path, None, None, 50)


def test_a_live_recording_without_length_or_index_is_read(tmp_path):
    path = write_numbers(tmp_path / "live.webm", "libvpx", 100, 25, {"g": "25"}, muxer={"live": "1"})
    assert numbers(read_frames(path, None, None, 100)) == list(range(100))
    assert numbers(read_frames(path, 3.0, 3.08, 3)) == [75, 76, 77]


def test_a_frame_that_does_not_decode_is_no_other_frame(tmp_path, monkeypatch):
    path, feed = write_numbers(tmp_path / "hole.mp4", count=20), video._feed
    monkeypatch.setattr(video, "_feed", lambda *given: [f for f in feed(*given) if f.pts != 512 * 7])
    with pytest.raises(DecodeError, match="hole.mp4 is damaged: 1 of its frames can't be decoded, the first at 0.280"):
        read_frames(path, None, None, 20)
    assert numbers(read_frames(path, None, None, 2)) == [0, 19]


def not_video(path: Path) -> None:
    if path.suffix == ".m4a":
        write_audio(path, "aac", cover=path.name == "cover.m4a")
    elif path.suffix == ".mp3":
        write_audio(path, "mp3", cover=True)
    elif path.name in ("text.txt", "text.mp4"):
        path.write_text("These lines are no video.\n" * 50)
    elif path.name == "list.mp4":
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    elif path.name == "folder.mp4":
        path.mkdir()
    elif path.name == "empty.webm":
        path.touch()


def write_audio(path: Path, codec: str, cover: bool) -> None:
    with av.open(str(path), "w", format="mp4" if codec == "aac" else "mp3") as container:
        sound = container.add_stream(codec, rate=48000)
        art = container.add_stream("mjpeg", rate=1) if cover else None
        if art:
            art.width, art.height, art.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(paint(1), "rgb24").reformat(format="yuvj420p")
            container.mux(art.encode(picture))
            container.mux(art.encode())
        for start in range(0, 48000, 960):
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), "fltp", "stereo")
            silence.sample_rate, silence.pts, silence.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(silence))
        container.mux(sound.encode())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.mp4", "No such file"),
        ("folder.mp4", "directory"),
        ("empty.webm", "can't be read as video"),
        ("text.txt", "can't be read as video"),
        ("text.mp4", "can't be read as video"),
        ("list.mp4", "can't be read as video"),
        ("sound.m4a", "holds no video"),
        ("cover.m4a", "holds no video"),
        ("cover.mp3", "can't be read as video"),
    ],
)
def test_what_is_no_video_is_refused_by_name_in_one_line(name, message, tmp_path):
    not_video(tmp_path / name)
    with pytest.raises(DecodeError, match=message) as error:
        read_frames(tmp_path / name, None, None, 4)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["folding_paper.mp4", "opening_closing_book.mov"])
def test_real_clips_equal_the_plain_choice(name):
    path = SHARED / "data" / "clips" / name
    if not path.is_file():
        pytest.skip(f"the real clips are not beside this checkout (../shared/data/clips/{name})")
    everything = decode_all(path)
    assert_same(read_frames(path, None, None, 16), choose_plainly(everything, None, None, 16))
    for start, stop, count in [(0.0, 1.0, 8), (1.23, 3.21, 5), (3.0, 3.01, 1), (4.0, 4.3, 4)]:
        assert_same(read_frames(path, start, stop, count), choose_plainly(everything, start, stop, count))
