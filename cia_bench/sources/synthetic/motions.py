"""Paint the chiral motions of the synthetic source: what a scene shows at a given progress of its motion.

Coordinates are heights of the picture: x runs right from 0 to 4/3, y down from 0 to 1. `a, b, ...` are a scene's
`place`, numbers between 0 and 1.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cia_bench.sources.synthetic.scenes import Scene

ASPECT = 4 / 3
Colour = tuple[int, int, int]
Camera = tuple[float, float, float]  # centre x and y and how many times nearer than usual


def colour(hue: float, lightness: float, saturation: float = 0.6) -> Colour:
    return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, saturation))


def between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


_ANGLES = {"square": 4, "triangle": 3, "hexagon": 6, "pentagon": 5, "disc": 40}


def outline(shape: str) -> np.ndarray:
    """The corners of a shape of radius 1 around 0, (N, 2)."""
    if shape == "cross":
        w = 0.35
        return np.array(
            [(-w, -1), (w, -1), (w, -w), (1, -w), (1, w), (w, w), (w, 1), (-w, 1), (-w, w), (-1, w), (-1, -w), (-w, -w)]
        )
    if shape == "star":
        turns, radii = np.arange(10) / 10, np.tile([1, 0.45], 5)
    elif shape == "diamond":
        turns, radii = np.arange(4) / 4, np.array([1, 0.6, 1, 0.6])
    else:
        turns, radii = np.arange(_ANGLES[shape]) / _ANGLES[shape], np.ones(_ANGLES[shape])
        turns = turns + (1 / 8 if shape == "square" else 0)
    angles = 2 * np.pi * turns - np.pi / 2
    return radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])


class Pen:
    """Paints polygons given in heights of the picture onto an image."""

    def __init__(self, image: Image.Image, scale: float, origin: tuple[float, float]):
        self._draw, self._scale, self._origin = ImageDraw.Draw(image), scale, np.asarray(origin)

    def polygon(self, points: np.ndarray | list, fill: Colour) -> None:
        pixels = (np.asarray(points, float) + self._origin) * self._scale
        self._draw.polygon([tuple(point) for point in pixels.tolist()], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def shape(self, shape: str, x: float, y: float, radius: float, fill: Colour, turn: float = 0.0) -> None:
        """A filled shape with a darker rim; `turn` is in radians."""
        c, s = np.cos(turn), np.sin(turn)
        corners = outline(shape) @ np.array([[c, s], [-s, c]])
        rim = tuple(part // 2 for part in fill)
        self.polygon(corners * radius + (x, y), rim)
        self.polygon(corners * (0.85 * radius) + (x, y), fill)


def _inks(scene: Scene) -> tuple[Colour, Colour, Colour]:
    """The subject's own colour, a lighter and a darker one."""
    return tuple(colour(scene.hue, min(scene.lightness + more, 0.95)) for more in (0, 0.15, -0.12))


def _move_right(pen: Pen, scene: Scene, p: float) -> None:
    a, b, c, d, *_ = scene.place
    travel = between(0.4, 0.6, b)
    x = between(0.15, 1.18 - travel, a) + travel * p
    pen.shape(scene.shape, x, between(0.25, 0.75, c), between(0.1, 0.16, d), _inks(scene)[0])


def _move_up(pen: Pen, scene: Scene, p: float) -> None:
    a, b, c, d, *_ = scene.place
    travel = between(0.3, 0.45, b)
    y = between(0.15 + travel, 0.85, a) - travel * p
    pen.shape(scene.shape, between(0.3, 1.03, c), y, between(0.1, 0.16, d), _inks(scene)[0])


def _approach(pen: Pen, scene: Scene, p: float) -> None:
    a, b, c, d, *_ = scene.place
    radius = between(0.06, 0.14, a) * between(2.2, 3, b) ** p
    pen.shape(scene.shape, between(0.5, 0.83, c), between(0.4, 0.6, d), radius, _inks(scene)[0])


def _rotate(pen: Pen, scene: Scene, p: float) -> None:
    """A lever turns clockwise from lying to standing."""
    a, b, c, d, e, *_ = scene.place
    angle = between(between(-0.2, 0.2, a), between(1.37, 1.77, b), p)
    x, y, long, thick = between(0.5, 0.83, c), between(0.42, 0.58, d), between(0.28, 0.38, e), 0.055
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    ends = [sign * long * along + side * thick * across for sign, side in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    ink, light, _ = _inks(scene)
    pen.polygon(np.array(ends) + (x, y), ink)
    pen.shape(scene.shape, x, y, 0.08, light)


def _open(pen: Pen, scene: Scene, p: float) -> None:
    """A door swings out of its frame and shows the dark room behind."""
    a, b, c, d, *_ = scene.place
    ink, light, dark = _inks(scene)
    wide, high = between(0.35, 0.5, a), between(0.6, 0.75, b)
    left, bottom = between(0.3, 1.03 - wide, c), between(0.85, 0.95, d)
    top, right = bottom - high, left + wide
    pen.box(left - 0.03, top - 0.03, right + 0.03, bottom, light)
    pen.box(left, top, right, bottom, colour(scene.background_hue, 0.07))
    angle = p * 1.45
    near, lift = wide * np.cos(angle), 0.12 * np.sin(angle)  # the free edge comes towards the viewer
    hinge, edge = (left, left + near) if scene.place[4] < 0.5 else (right, right - near)
    pen.polygon([(hinge, top), (edge, top - lift), (edge, bottom + lift), (hinge, bottom)], ink)
    knob = between(hinge, edge, 0.85)
    pen.shape(scene.shape, knob, (top + bottom) / 2, 0.03, dark)


def _fold(pen: Pen, scene: Scene, p: float) -> None:
    """One half of a sheet turns over onto the other."""
    a, b, c, d, *_ = scene.place
    ink, light, dark = _inks(scene)
    half, high = between(0.26, 0.36, a), between(0.22, 0.3, b)
    x, y = between(0.55, 0.78, c), between(0.42, 0.58, d)
    side = 1 if scene.place[4] < 0.5 else -1
    pen.box(x - side * half, y - high, x, y + high, light)
    angle = np.pi * p
    reach, lift = side * half * np.cos(angle), 0.14 * np.sin(angle)
    pen.polygon(
        [(x, y - high), (x + reach, y - high - lift), (x + reach, y + high - lift), (x, y + high)],
        light if p < 0.5 else dark,
    )
    pen.box(x - 0.008, y - high, x + 0.008, y + high, ink)


def _fill(pen: Pen, scene: Scene, p: float) -> None:
    """The level in a glass rises."""
    a, b, c, d, *_ = scene.place
    ink, light, dark = _inks(scene)
    half, high = between(0.15, 0.25, a), between(0.55, 0.7, b)
    x, bottom = between(0.4, 0.93, c), between(0.8, 0.93, d)
    pen.box(x - half - 0.03, bottom - high, x + half + 0.03, bottom + 0.03, dark)
    pen.box(x - half, bottom - high, x + half, bottom, colour(scene.background_hue, 0.9))
    pen.box(x - half, bottom - between(0.05, 0.95, p) * high, x + half, bottom, ink)


def _cover(pen: Pen, scene: Scene, p: float) -> None:
    """A striped cloth slides over a thing."""
    a, b, c, d, *_ = scene.place
    ink, light, dark = _inks(scene)
    radius, x, y = between(0.17, 0.23, a), between(0.5, 0.83, b), between(0.4, 0.6, c)
    pen.shape(scene.shape, x, y, radius, ink)
    side = 1 if d < 0.5 else -1
    middle = x + side * between(0.75, 0.0, p)
    half = radius * 1.25
    for stripe in range(6):
        left = middle - half + stripe * half / 3
        pen.box(left, y - half, left + half / 3, y + half, (light, dark)[stripe % 2])


def _split(pen: Pen, scene: Scene, p: float) -> None:
    """One thing becomes two that part."""
    a, b, c, d, *_ = scene.place
    radius, x, y = between(0.1, 0.15, a), between(0.5, 0.83, b), between(0.4, 0.6, c)
    apart = between(0.0, between(0.3, 0.42, d), p)
    for side in (-1, 1):
        pen.shape(scene.shape, x + side * apart, y, radius, _inks(scene)[0])


def _brighten(pen: Pen, scene: Scene, p: float) -> None:
    """A thing in a room that gets lighter as a whole (see `light`)."""
    a, b, c, *_ = scene.place
    pen.shape(scene.shape, between(0.4, 0.93, a), between(0.35, 0.65, b), between(0.12, 0.2, c), _inks(scene)[0])


def _enter(pen: Pen, scene: Scene, p: float) -> None:
    """A thing comes into the picture from one of its sides."""
    a, b, c, d, *_ = scene.place
    x, y, radius = between(0.5, 0.83, a), between(0.4, 0.6, b), between(0.15, 0.22, c)
    out_x, out_y = [(-0.3, y), (ASPECT + 0.3, y), (x, -0.3), (x, 1.3)][min(int(4 * d), 3)]
    pen.shape(scene.shape, between(out_x, x, p), between(out_y, y, p), radius, _inks(scene)[0])


def _stack(pen: Pen, scene: Scene, p: float) -> None:
    """Blocks come down one by one onto a pile."""
    a, b, c, *_ = scene.place
    ink, light, dark = _inks(scene)
    blocks = 4
    half, high, x = between(0.13, 0.2, a), between(0.14, 0.17, b), between(0.4, 0.93, c)
    placed = p * (blocks - 1)
    for block in range(blocks):
        fall = min(max(block - placed, 0.0), 1.0)  # 1: still above the picture, 0: on the pile
        bottom = 0.92 - block * high - fall * (1.1 - block * high)
        pen.box(x - half, bottom - high, x + half, bottom, dark)
        pen.box(x - half + 0.015, bottom - high + 0.015, x + half - 0.015, bottom - 0.015, (ink, light)[block % 2])


def _landscape(pen: Pen, scene: Scene, p: float) -> None:
    """A ground with posts below the sky; it reaches beyond the picture for the camera to tilt over."""
    a, b, *_ = scene.place
    ink, light, dark = _inks(scene)
    horizon = between(0.45, 0.55, a)
    pen.box(-1, horizon, ASPECT + 1, 2, dark)
    for post in range(7):
        x = -0.3 + 0.33 * post + 0.2 * b
        pen.box(x, horizon, x + 0.08, 2, (ink, light)[post % 2])


def _tilt_up(scene: Scene, p: float) -> Camera:
    _, _, c, d, *_ = scene.place
    return ASPECT / 2, between(between(0.75, 0.85, c), between(0.15, 0.25, d), p), 1.0


def _still_life(pen: Pen, scene: Scene, p: float) -> None:
    """A large thing among small ones, for the camera to go near."""
    a, b, c, d, *_ = scene.place
    ink, light, dark = _inks(scene)
    x, y = between(0.6, 0.73, a), between(0.45, 0.55, b)
    for number in range(8):
        angle = 2 * np.pi * (number + d) / 8
        pen.shape(scene.shape, x + 0.42 * np.cos(angle), y + 0.38 * np.sin(angle), 0.06, (light, dark)[number % 2])
    pen.shape(scene.shape, x, y, between(0.12, 0.16, c), ink)


def _zoom_in(scene: Scene, p: float) -> Camera:
    a, b, c, d, e, f, *_ = scene.place
    x, y = between(0.6, 0.73, a), between(0.45, 0.55, b)
    return x, y, between(1.0, 1.15, e) * between(2.2, 2.8, f) ** p


def still(scene: Scene, p: float) -> Camera:
    return ASPECT / 2, 0.5, 1.0


@dataclass(frozen=True)
class Motion:
    """A chiral motion; `forward` is what the scene shows when played forwards."""

    forward: str
    reverse: str
    noun: str
    paint: Callable[[Pen, Scene, float], None]
    camera: Callable[[Scene, float], Camera] = still


MOTIONS = {
    f"{motion.forward}-{motion.reverse}": motion
    for motion in (
        Motion("move-right", "move-left", "thing", _move_right),
        Motion("move-up", "move-down", "thing", _move_up),
        Motion("enter", "exit", "picture", _enter),
        Motion("approach", "recede", "thing", _approach),
        Motion("turn-up", "turn-down", "lever", _rotate),
        Motion("open", "close", "door", _open),
        Motion("fold", "unfold", "sheet", _fold),
        Motion("fill", "empty", "glass", _fill),
        Motion("cover", "uncover", "thing", _cover),
        Motion("brighten", "dim", "room", _brighten),
        Motion("split", "join", "thing", _split),
        Motion("stack", "unstack", "block", _stack),
        Motion("zoom-in", "zoom-out", "camera", _still_life, _zoom_in),
        Motion("tilt-up", "tilt-down", "camera", _landscape, _tilt_up),
    )
}


def light(scene: Scene, p: float) -> float:
    """How bright the whole picture is, 1 where the motion does not change it."""
    if scene.motion != "brighten-dim":
        return 1.0
    _, _, _, d, e, *_ = scene.place
    return between(between(0.3, 0.45, d), between(1.0, 1.1, e), p)
