"""Decode clips in worker processes: a video that crashes its decoder or hangs it fails alone."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch  # not only for its one call below: workers share what this module imports

from cia_bench.encoders import FrameSpec
from cia_bench.errors import DecodeError
from cia_bench.frame_order import FORWARD, TAKES
from cia_bench.video import read_frame_sets
from cia_bench.workers import Lost, call_ahead

LIMIT_S = 60.0  # of wall time a clip; a damaged file can keep a decoder busy for good


@dataclass(frozen=True)
class Job:
    """A clip to decode: for each of `wanted` its frames of an interval of a video, in seconds; None: the whole file."""

    path: Path
    start_s: float | None
    stop_s: float | None
    wanted: tuple[FrameSpec, ...]
    order: str = FORWARD  # of the frames, one of frame_order.ORDERS
    clip_id: str = ""  # which decides how they are shuffled


@dataclass(frozen=True)
class Decoded:
    """The frames of a clip, for each that the job wanted, or why there are none."""

    squares: tuple[np.ndarray, ...] = ()  # uint8, (T, size, size, 3)
    times_s: tuple[np.ndarray, ...] = ()  # float64, (T,)
    cut: bool = False  # the interval's end lay beyond the file
    failure: str | None = None  # one line that names the file


def decode(job: Job) -> Decoded:
    """Decode one clip, here and now."""
    torch.set_num_threads(1)  # the other workers have the other cores
    try:
        read = read_frame_sets(job.path, job.start_s, job.stop_s, [spec.count for spec in job.wanted])
        orders = [TAKES[job.order](job.clip_id, spec.count) for spec in job.wanted]
        squares = tuple(
            spec.crop(frames.images)[order] for spec, frames, order in zip(job.wanted, read, orders, strict=True)
        )
        times_s = tuple(frames.times_s[order] for frames, order in zip(read, orders, strict=True))
        return Decoded(squares, times_s, read[0].cut)
    except DecodeError as error:
        return Decoded(failure=str(error))
    except MemoryError:
        return Decoded(failure=str(DecodeError(f"{job.path} needs more memory to decode than there is")))


def decode_ahead(jobs: Iterable[Job], workers: int, limit_s: float, ahead: int) -> Iterator[Decoded]:
    """Yield each clip's frames, or why there are none, in the order of `jobs`; the next `ahead` are being decoded.

    A clip whose decoder dies, or takes longer than `limit_s`, is a failure. At most `workers` processes run, and no
    more than there are clips. Close the iterator if it may not be read to its end.
    """
    jobs, to_decode = itertools.tee(jobs)  # the second is ahead of the first
    with contextlib.closing(call_ahead(decode, to_decode, workers, limit_s, ahead)) as answers:
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, Lost):
                answer = Decoded(failure=str(answer.while_decoding(job.path, limit_s)))
            yield answer
