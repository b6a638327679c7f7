"""Render scenes to video: the frames of a scene, and their file in H.264 or VP9.

Every frame is coded on its own, so that what a decoder gives of a scene played backwards is what it gives of the same
scene played forwards, in reverse order: the coding carries no arrow of time either.
"""

import io
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from cia_bench.sources.synthetic.motions import ASPECT, MOTIONS, Pen, colour, light
from cia_bench.sources.synthetic.scenes import Scene

WIDTH, HEIGHT, RATE = 128, 96, 12  # pixels, frames a second
OVERSAMPLE = 2
MARGIN = 0.5  # of world around the picture, in heights, for the camera to move over

CODECS = {
    ".mp4": ("libx264", {"preset": "veryfast", "qp": "18"}),
    ".webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}),
}


def paint_frames(scene: Scene) -> list[np.ndarray]:
    """The frames of a scene in the order of its progress, uint8 RGB (HEIGHT, WIDTH, 3) each."""
    world = _background(scene)
    grain = _grain(scene)
    return [_paint_frame(scene, world, grain, number) for number in range(len(scene.progress))]


def _background(scene: Scene) -> Image.Image:
    """The world behind the subject, OVERSAMPLE times as fine as a frame, MARGIN wider on each side."""
    generator = np.random.default_rng(scene.background_seed)
    height, width = (round((side + 2 * MARGIN) * HEIGHT * OVERSAMPLE) for side in (1, ASPECT))
    y, x = np.mgrid[0:height, 0:width] / (HEIGHT * OVERSAMPLE)
    pattern = BACKGROUNDS[scene.background](x, y, generator)  # -1 to 1
    base = np.array(colour(scene.background_hue, scene.background_lightness, 0.35))
    return Image.fromarray(np.clip(base + 22 * pattern[..., None], 0, 255).astype(np.uint8))


def _gradient(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    slope = generator.uniform(-1, 1, 2)
    return np.clip(slope[0] * (x - 1.2) + slope[1] * (y - 1), -1, 1)


def _stripes(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    angle, wave, phase = generator.uniform(0, np.pi), generator.uniform(0.15, 0.4), generator.uniform(0, 1)
    return np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / wave + phase))


def _clouds(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    coarse = generator.integers(0, 256, (6, 7), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((x.shape[1], x.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(smooth) / 127.5 - 1


def _tiles(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    side, left, top = generator.uniform(0.15, 0.35), *generator.uniform(0, 1, 2)
    return np.where((np.floor((x + left) / side) + np.floor((y + top) / side)) % 2 == 0, 0.6, -0.6)


def _rings(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    centre, wave = generator.uniform(0, 2, 2), generator.uniform(0.2, 0.45)
    return np.sin(2 * np.pi * np.hypot(x - centre[0], y - centre[1]) / wave)


def _vignette(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    centre = generator.uniform(0.5, 1.7, 2)
    return 1 - np.clip(np.hypot(x - centre[0], y - centre[1]), 0, 2)


BACKGROUNDS = {
    "gradient": _gradient,
    "stripes": _stripes,
    "clouds": _clouds,
    "tiles": _tiles,
    "rings": _rings,
    "vignette": _vignette,
}


def _grain(scene: Scene) -> np.ndarray:
    """Noise that frames are cut from at different places, int16 (2 HEIGHT, 2 WIDTH, 1)."""
    generator = np.random.default_rng(scene.noise_seed)
    return np.rint(generator.normal(0, scene.noise, (2 * HEIGHT, 2 * WIDTH, 1))).astype(np.int16)


def _paint_frame(scene: Scene, world: Image.Image, grain: np.ndarray, number: int) -> np.ndarray:
    motion, progress = MOTIONS[scene.motion], scene.progress[number]
    image, scale = world.copy(), HEIGHT * OVERSAMPLE
    pen = Pen(image, scale, (MARGIN, MARGIN))
    motion.paint(pen, scene, progress)
    share = number / max(len(scene.progress) - 1, 1)
    for thing in scene.things:
        x, y = (start + share * drift for start, drift in zip(thing.start, thing.drift, strict=True))
        pen.shape(thing.shape, x, y, thing.radius, colour(thing.hue, thing.lightness))
    x, y, nearer = motion.camera(scene, progress)
    dx, dy = scene.shake[number]
    half = 0.5 / nearer
    left, top = (x + dx - ASPECT * half + MARGIN) * scale, (y + dy - half + MARGIN) * scale
    box = (left, top, left + 2 * ASPECT * half * scale, top + 2 * half * scale)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=_inside(box, image.size))
    row, column = np.random.default_rng([scene.noise_seed, number]).integers(0, (HEIGHT, WIDTH))
    noise = grain[row : row + HEIGHT, column : column + WIDTH]
    lit = np.asarray(small, np.float32) * np.float32(light(scene, progress)) + noise
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box moved so that it lies within an image of `size`."""
    left, top, right, bottom = box
    right_most, bottom_most = size[0] - (right - left), size[1] - (bottom - top)
    left, top = min(max(left, 0), right_most), min(max(top, 0), bottom_most)
    return left, top, min(left + box[2] - box[0], size[0]), min(top + box[3] - box[1], size[1])


def encode(frames: list[np.ndarray], suffix: str) -> bytes:
    """A video file of RGB frames at RATE a second: H.264 in mp4 or VP9 in webm, the same bytes for the same frames."""
    codec, options = CODECS[suffix]
    file = io.BytesIO()
    with av.open(file, "w", format=suffix[1:], options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 1
        stream.codec_context.time_base = Fraction(1, RATE)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()
