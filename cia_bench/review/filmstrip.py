"""Make the filmstrip of a clip: a few small frames, packed as one picture. Light to import: its workers do."""

import io
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cia_bench.video import read_frames

COUNT = 16  # frames of a strip
HEIGHT = 48  # pixels of a frame: whole blocks of JPEG, so that no frame smears into the next
WIDEST = 120  # pixels; a wider frame is squeezed
QUALITY = 90  # of JPEG
SETTINGS = (1, COUNT, HEIGHT, WIDEST, QUALITY)  # what a picture depends on; raise the first when its making changes


@dataclass(frozen=True, eq=False)
class Strip:
    """Frames spread evenly over a clip, its first and last included."""

    pixels: np.ndarray  # uint8 RGB, (T, H, W, 3)
    times_s: np.ndarray  # float64, (T,), from the start of the file
    cut: bool  # the clip's end lay beyond the file


@dataclass(frozen=True)
class Job:
    """An interval of a video, in seconds; None for both: the whole file."""

    path: Path
    start_s: float | None
    stop_s: float | None


def render_in_worker(job: Job) -> bytes:
    """`render`, and no word on the terminal of a decoder that dies: it would smear the screen."""
    if multiprocessing.parent_process():
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
    return render(job)


def render(job: Job) -> bytes:
    """Decode the frames of a strip into a JPEG, one below the other, with their times in its comment.

    Raises what read_frames raises.
    """
    frames = read_frames(job.path, job.start_s, job.stop_s, COUNT)
    height, width = frames.images.shape[1:3]
    size = (min(WIDEST, max(2, round(HEIGHT * width / height / 2) * 2)), HEIGHT)
    small = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.HAMMING)) for image in frames.images]
    about = json.dumps({"times_s": frames.times_s.tolist(), "cut": frames.cut})
    picture = io.BytesIO()
    Image.fromarray(np.concatenate(small)).save(picture, "JPEG", quality=QUALITY, subsampling=0, comment=about)
    return picture.getvalue()


def unpack(picture: bytes) -> Strip:
    """The strip in a picture that `render` made."""
    image = Image.open(io.BytesIO(picture), formats=["JPEG"])
    about = json.loads(image.info["comment"])
    pixels = np.asarray(image).reshape(COUNT, HEIGHT, image.width, 3)
    return Strip(pixels, np.array(about["times_s"]), about["cut"])
