"""Decode exact frames of a video clip.

Frames are chosen by the presentation times of the stream's packets, which cost no decoding. Only the groups of pictures
that hold a chosen frame are decoded, and in H.264 no picture that neither is chosen nor serves another. A seek is never
trusted: what it found is checked against the interval.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from cia_bench.errors import ConfigError, DecodeError

CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"  # FFmpeg would also draw text files and follow playlists
SEEK_BACK_S = (0, 2, 20)  # how far before the interval to seek, until a keyframe at or before its start is found
REORDERING_S = 1.0  # packets come in decoding order: frames of the interval may follow later ones, but not by more
TIMELESS = ("avi",)  # packets have no times of their own: after a seek they are what a perhaps damaged index says
KEPT_BYTES = 64_000_000  # of packets, so that a clip is read once; of a longer one they are read again to be decoded
PROGRESSIVE = 1  # FFmpeg's AV_FIELD_PROGRESSIVE
SLACK_S = 1e-6  # float noise of a time
LONGEST_S = 1e9
DURATION_TAG = re.compile(r"([0-9]{1,6}):([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]*)?)\s*\Z")  # of a Matroska file


@dataclass(frozen=True)
class Frames:
    """Frames of a video in the order of their times."""

    images: np.ndarray  # uint8 RGB, (count, H, W, 3)
    times_s: np.ndarray  # float64, (count,): their presentation times, in seconds from the start of the file
    cut: bool  # the interval's end lay beyond the file, which was read to its last frame instead


@dataclass(frozen=True)
class _Video:
    """An open file, from which packets are read one after the other."""

    path: Path
    seek_s: float | None  # reading starts at the keyframe before this; None: at the beginning
    container: av.container.InputContainer
    stream: av.VideoStream
    zero_s: Fraction  # where its timeline starts


@dataclass(frozen=True)
class _Index:
    """A video's packets in decoding order, from where a seek landed until past the interval: arrays of (N,)."""

    pts: np.ndarray  # presentation times in the stream's own unit, int64
    times_s: np.ndarray
    durations_s: np.ndarray
    keyframes: np.ndarray  # whether decoding can start here
    shown: np.ndarray  # false where the decoder gives no frame for the packet
    ended: bool  # the last packet is the file's last
    packets: list[av.Packet]  # none if they are more than KEPT_BYTES


class _Pictures:
    """The pictures of the chosen frames in one array, in the order of their times, filled in as they are decoded."""

    def __init__(self, chosen: np.ndarray):
        """`chosen` are presentation times in the stream's own unit, (N,), each once and in order."""
        self.places = {pts: place for place, pts in enumerate(chosen.tolist())}
        self.shapes = {}  # of the pictures found, by presentation time: (H, W, 3)
        self.images = None  # uint8 (N, H, W, 3), from when the first is found

    def put(self, pts: int, image: np.ndarray) -> None:
        """Keep a picture; one that does not fit is only counted as found, and so is a second of the same time."""
        if self.images is None:
            self.images = np.empty((len(self.places), *image.shape), np.uint8)
        if pts not in self.shapes and image.shape == self.images.shape[1:]:
            self.images[self.places[pts]] = image
        self.shapes.setdefault(pts, image.shape)

    def of(self, chosen: np.ndarray) -> np.ndarray:
        """The pictures of some of the times, (M,) in order: uint8 (M, H, W, 3)."""
        places = [self.places[pts] for pts in chosen.tolist()]
        return self.images if places == list(range(len(self.images))) else self.images[places]


def read_frames(path: Path, start_s: float | None, stop_s: float | None, count: int) -> Frames:
    """Return `count` frames spread evenly in time from the first to the last of [start_s, stop_s], both included.

    The interval is in seconds from the start of the file's timeline; None for both is the whole file. Its frames are
    those presented within it, or if there is none, the one on display at its start. For each evenly spaced time the
    nearest frame is taken (of two, the earlier), so that few frames repeat in order; a `count` of 1 takes the middle.
    A stop more than one frame's duration beyond the end of the last frame is `cut`. Frames are turned upright.

    Raises DecodeError if the file is missing, holds no video, is truncated or damaged where it is read (within a
    second after the interval too), or ends before `start_s`; ConfigError for an interval or a count that is none.
    """
    return read_frame_sets(path, start_s, stop_s, [count])[0]


def read_frame_sets(path: Path, start_s: float | None, stop_s: float | None, counts: Sequence[int]) -> list[Frames]:
    """Return what `read_frames` gives for each of `counts`, at least one, but decode the clip only once.

    Sets of the same frames may share the memory of their images. Raises what read_frames does for any of the counts.
    """
    _check_request(start_s, stop_s, counts)
    for seek_s, sparse in _attempts(start_s):
        with _open(path, seek_s) as video:
            index = _read_index(video, stop_s)
            if seek_s is not None and not _starts_by(index, start_s):
                continue
            pts, times_s, cut = _inside(path, index, start_s, stop_s)
            sets = [spread(pts, count) for count in counts]
            pictures = _Pictures(np.unique(np.concatenate(sets)))
            trusted = _decode(video, index, pictures, sparse)
        if trusted and pictures.shapes.keys() == pictures.places.keys():
            break
    else:
        lost = index.times_s[np.isin(index.pts, list(pictures.places.keys() - pictures.shapes.keys()))]
        raise DecodeError(
            f"{path} is damaged: {len(lost)} of its frames can't be decoded, the first at {lost[0]:.3f} s"
        )
    if len(set(pictures.shapes.values())) > 1:
        raise DecodeError(f"{path} changes its frame size within the interval")
    return [Frames(pictures.of(chosen), times_s[np.searchsorted(pts, chosen)], cut) for chosen in sets]


def _check_request(start_s: float | None, stop_s: float | None, counts: Sequence[int]) -> None:
    if min(counts, default=0) < 1:
        raise ConfigError(f"a clip gives 1 frame or more, not {min(counts, default='no count of them')}")
    if start_s is None and stop_s is None:
        return
    if start_s is None or stop_s is None or not -LONGEST_S <= start_s <= stop_s <= LONGEST_S:
        raise ConfigError(f"{start_s} to {stop_s} s is no interval: give a start and a later stop, or None for both")


def _attempts(start_s: float | None) -> list[tuple[float | None, bool]]:
    """Where to start reading (None: at the beginning), and whether to leave out groups without a chosen frame.

    The last attempt decodes all from the beginning, for files whose keyframes are not where decoding can start.
    """
    seeks = [start_s - back_s for back_s in SEEK_BACK_S if start_s is not None and start_s > back_s]
    return [*((seek_s, True) for seek_s in seeks or [None]), (None, False)]


@contextmanager
def _open(path: Path, seek_s: float | None) -> Iterator[_Video]:
    """Open a file for one pass from the keyframe before `seek_s` (None: from the beginning)."""
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            pictures = [stream for stream in container.streams.video if stream.codec_context is not None]
            videos = [stream for stream in pictures if not stream.disposition & Disposition.attached_pic]
            if not videos:
                raise DecodeError(f"{path} holds no video")
            stream = videos[0]
            zero_s = Fraction(max(container.start_time or 0, 0), av.time_base)
            if seek_s is not None and container.format.name not in TIMELESS:
                container.seek(round((Fraction(seek_s) + zero_s) / stream.time_base), stream=stream)
            yield _Video(path, seek_s, container, stream, zero_s)
    except av.FFmpegError as error:
        raise DecodeError(f"{path} can't be read as video: {error.strerror}") from error


def _read_index(video: _Video, stop_s: float | None) -> _Index:
    """Read packets, without decoding, until past `stop_s` (None: the end)."""
    path, stream, unit = video.path, video.stream, video.stream.time_base
    usual = round(1 / ((stream.average_rate or 1) * unit))  # Matroska need not tell a packet's duration
    past = math.inf if stop_s is None else math.floor((Fraction(stop_s + REORDERING_S) + video.zero_s) / unit)
    rows, packets, kept_bytes, sound, ended = [], [], 0, None, True
    for packet in video.container.demux([stream, *video.container.streams.audio]):
        if not packet.size:
            continue
        if packet.stream_index != stream.index:
            sound = packet if packet.pts is not None else sound
            continue
        if packet.pts is None:
            raise DecodeError(f"{path} does not tell when its frames are shown")
        rows.append((packet.pts, packet.duration or usual, packet.is_keyframe, _is_shown(packet, stream)))
        kept_bytes += packet.size
        if kept_bytes <= KEPT_BYTES:
            packets.append(packet)
        else:
            packets.clear()
        if packet.dts is not None and packet.dts > past:
            ended = False
            break
    if not rows and video.seek_s is None:
        raise DecodeError(f"{path} holds no video frame")
    pts, durations, keyframes, shown = np.array(rows, np.int64).reshape(-1, 4).T
    times_s = pts * unit.numerator / unit.denominator - float(video.zero_s)
    index = _Index(pts, times_s, durations * float(unit), keyframes > 0, shown > 0, ended, packets)
    if ended and rows:
        promised_s, of_video = _promised_end(video)
        _check_whole(path, index, promised_s, 0.0 if of_video or not sound else _end_s(sound, video))
    return index


def _is_shown(packet: av.Packet, stream: av.VideoStream) -> bool:
    """Whether a frame appears for the packet: not if an edit list hides it, or it only serves others in VP8."""
    return not packet.is_discard and (stream.codec_context.name != "vp8" or bool(memoryview(packet)[0] & 0x10))


def _end_s(packet: av.Packet, video: _Video) -> float:
    return float((packet.pts + packet.duration) * packet.time_base - video.zero_s)


def _promised_end(video: _Video) -> tuple[float | None, bool]:
    """When the file says that it ends (s; None if it does not), and whether it says so of the video or of all."""
    container, stream, zero_s = video.container, video.stream, video.zero_s
    if stream.duration is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base - zero_s), True
    of_video = DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if of_video:
        hours, minutes, seconds = map(float, of_video.groups())
        return hours * 3600 + minutes * 60 + seconds - float(zero_s), True
    return (None if container.duration is None else container.duration / av.time_base), False


def _check_whole(path: Path, index: _Index, promised_s: float | None, audio_end_s: float) -> None:
    """Raise DecodeError if the file ends earlier than promised: by half a frame, or more if frame durations vary."""
    end_s = max((index.times_s + index.durations_s).max(), audio_end_s)
    slack_s = index.durations_s.max() - index.durations_s.min() / 2
    if promised_s is not None and end_s + slack_s < promised_s:
        raise DecodeError(f"{path} is truncated: it ends at {end_s:.3f} s of {promised_s:.3f} s")


def _starts_by(index: _Index, start_s: float) -> bool:
    return bool((index.times_s[index.keyframes] <= start_s + SLACK_S).any())


def _inside(
    path: Path, index: _Index, start_s: float | None, stop_s: float | None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The frames to choose from, (N,) in order: their times in the stream's unit, in seconds, and whether it is cut."""
    order = np.argsort(index.pts, kind="stable")
    order = order[index.shown[order]]
    if not len(order):
        raise DecodeError(f"{path} shows no video frame")
    pts, times_s, last_s = index.pts[order], index.times_s[order], index.durations_s[order[-1]]
    if start_s is None:
        return pts, times_s, False
    end_s = times_s[-1] + last_s
    if index.ended and start_s >= end_s - SLACK_S:
        raise DecodeError(f"{path} ends at {end_s:.3f} s, before the interval starts at {start_s:.3f} s")
    first, past = np.searchsorted(times_s, [start_s - SLACK_S, stop_s + SLACK_S])
    if first == past:
        first, past = max(first - 1, 0), max(first, 1)  # the frame on display, or the file's first
    return pts[first:past], times_s[first:past], bool(index.ended and stop_s > end_s + last_s)


def spread(pts: np.ndarray, count: int) -> np.ndarray:
    """Choose the `count` of the sorted integers `pts` nearest to evenly spaced points from the first to the last.

    Of two equally near the smaller is taken; a `count` of 1 takes the one nearest the middle.
    """
    steps, points = (count - 1, np.arange(count)) if count > 1 else (2, np.ones(1, np.int64))
    targets = pts[0] * steps + (pts[-1] - pts[0]) * points  # all times `steps`: integers keep a tie a tie
    right = np.searchsorted(pts * steps, targets)
    left = np.maximum(right - 1, 0)
    return np.where(targets - pts[left] * steps <= pts[right] * steps - targets, pts[left], pts[right])


def _packets(video: _Video, index: _Index) -> Iterator[av.Packet]:
    """The packets of an index, which are read again if they were not kept."""
    if index.packets:
        yield from index.packets
        return
    with _open(video.path, video.seek_s) as again:
        yield from (packet for packet in again.container.demux(again.stream) if packet.size)


def _decode(video: _Video, index: _Index, pictures: _Pictures, sparse: bool) -> bool:
    """Put in the pictures of the chosen frames, but those that the decoder does not return or calls corrupt.

    `sparse` leaves out groups without a chosen frame, and in H.264 pictures not chosen that no other refers to, damaged
    or not. Returns whether the result can be trusted: not if it is sparse and decoding started anywhere but at an
    intra-coded frame, or met a corrupt frame. Raises DecodeError for a corrupt frame if it is not sparse: others are
    made from it, and the decoder does not tell which.
    """
    chosen = pictures.places
    needed = _needed(index, chosen, sparse)
    run_starts, run_ends = needed & ~np.append(False, needed[:-1]), needed & ~np.append(needed[1:], False)
    unproven = set(index.pts[run_starts & index.shown].tolist())
    decoder, scaler = _decoder(video.stream), VideoReformatter()
    spares = sparse and decoder.name == "h264" and decoder.field_order == PROGRESSIVE
    for is_needed, is_start, is_end, packet in zip(needed, run_starts, run_ends, _packets(video, index), strict=False):
        if not is_needed:
            continue
        if is_start:
            first = packet.pts  # what is shown before it may need frames before it
        if packet.is_corrupt:
            raise DecodeError(f"{video.path} is damaged at {float(packet.pts * packet.time_base):.3f} s")
        if spares:
            decoder.skip_frame = "DEFAULT" if is_start or packet.pts in chosen else "NONREF"
        for frame in _feed(decoder, packet, is_end):
            if frame.is_corrupt and frame.pts >= first:
                if sparse:
                    return False
                raise DecodeError(f"{video.path} is damaged at {float(frame.pts * packet.time_base):.3f} s")
            if frame.pict_type == PictureType.I:
                unproven.discard(frame.pts)
            if frame.pts in chosen and not frame.is_corrupt:
                rgb = scaler.reformat(frame, format="rgb24", threads=1).to_ndarray()
                pictures.put(frame.pts, upright(rgb, frame))
    return not (sparse and unproven)  # H.264 can call a frame a keyframe from which pictures only recover


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    decoder = stream.codec_context
    decoder.thread_count = 1
    if decoder.name == "hevc":
        decoder.options = {"err_detect": "explode"}  # or it leaves out what is damaged and says nothing
    return decoder


def _feed(decoder: av.VideoCodecContext, packet: av.Packet, is_end: bool) -> list[av.VideoFrame]:
    """Decode one packet; at the end of a run of packets also return the frames held back, and start afresh."""
    frames = decoder.decode(packet)
    if is_end:
        frames += decoder.decode(None)
        decoder.flush_buffers()
    return frames


def _needed(index: _Index, chosen: set[int], sparse: bool) -> np.ndarray:
    """Which packets to decode for the chosen frames, (N,): to each from the last keyframe shown at or before it."""
    needed = np.zeros(len(index.pts), bool)
    keyframes = np.flatnonzero(index.keyframes)
    for pts in chosen:
        position = np.flatnonzero((index.pts == pts) & index.shown)[0]
        before = keyframes[(keyframes <= position) & (index.pts[keyframes] <= pts)]
        needed[before[-1] if sparse and len(before) else 0 : position + 1] = True
    return needed


def upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turn and mirror (H, W, 3) as the file's display matrix says: x' = ax + cy, y' = bx + dy."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return image
    a, b, _, c, d = np.frombuffer(side_data, np.int32)[:5].tolist()
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
