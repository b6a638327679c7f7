"""Draw the scenes of the synthetic source: everything that a rendered clip depends on, except which way it is played.

A label is never an argument here. Label 1 clips play their scene forwards, label 0 clips play other scenes of the same
distribution backwards, so nothing that ignores the order of frames can tell the labels apart.
"""

from dataclasses import dataclass

import numpy as np

from cia_bench.errors import ConfigError


@dataclass(frozen=True)
class Size:
    """How many clips a size has and how hard they are."""

    train: int  # clips a group, half of them of each label
    validation: int
    frames: tuple[int, int]  # shortest and longest clip
    pause: float  # longest share of a clip that the mid-way pause takes
    partial: float  # how much of the motion may be missing at either end
    distractors: int  # most other things in the scene
    shake: float  # camera shake, in heights of the picture


SIZES = {
    "tiny": Size(12, 8, (20, 28), pause=0.2, partial=0.05, distractors=1, shake=0.0),
    "small": Size(48, 40, (24, 36), pause=0.25, partial=0.08, distractors=2, shake=0.0),
    "medium": Size(160, 80, (32, 64), pause=0.5, partial=0.3, distractors=6, shake=0.012),
}


def choose_size(name: str) -> Size:
    """The size of that name; raises ConfigError for an unknown one."""
    if name not in SIZES:
        raise ConfigError(f"unknown size {name!r}; choose from {', '.join(SIZES)}")
    return SIZES[name]


@dataclass(frozen=True)
class Appearance:
    """What the scenes of one split are made of; the two splits share nothing."""

    shapes: tuple[str, ...]
    backgrounds: tuple[str, ...]
    hues: tuple[tuple[str, float], ...]  # name and place on the colour circle, 0 to 1


APPEARANCES = {
    "train": Appearance(
        ("disc", "square", "triangle", "cross"),
        ("gradient", "stripes", "clouds"),
        (("red", 0.0), ("yellow", 0.15), ("teal", 0.45), ("blue", 0.6)),
    ),
    "validation": Appearance(
        ("hexagon", "star", "diamond", "pentagon"),
        ("tiles", "rings", "vignette"),
        (("orange", 0.07), ("green", 0.33), ("cyan", 0.52), ("violet", 0.78)),
    ),
}


@dataclass(frozen=True)
class Thing:
    """A shape that stands or drifts about besides what the clip is about; units are heights of the picture."""

    shape: str
    hue: float
    lightness: float
    radius: float
    start: tuple[float, float]  # x to the right, y down
    drift: tuple[float, float]  # over the whole clip


@dataclass(frozen=True)
class Scene:
    """One scene, from the first frame of its motion to the last."""

    motion: str
    progress: tuple[float, ...]  # of the motion at each frame, rising from about 0 to about 1
    shape: str
    hue_name: str
    hue: float
    lightness: float  # of the subject, 0 to 1
    background: str
    background_hue: float
    background_lightness: float
    background_seed: int
    place: tuple[float, ...]  # eight numbers between 0 and 1 that the motion takes its geometry from
    things: tuple[Thing, ...]
    shake: tuple[tuple[float, float], ...]  # offset of the camera at each frame, in heights of the picture
    noise: float  # standard deviation in grey levels
    noise_seed: int


def draw_scene(motion: str, split: str, size: Size, generator: np.random.Generator) -> Scene:
    """Draw a scene of `motion` as the clips of `split` show it."""
    looks = APPEARANCES[split]
    frames = int(generator.integers(size.frames[0], size.frames[1] + 1))
    hue_name, hue = looks.hues[generator.integers(len(looks.hues))]
    light = bool(generator.integers(2))  # a light subject before a dark background, or the other way round
    count = int(generator.integers(size.distractors + 1))
    return Scene(
        motion=motion,
        progress=_draw_progress(frames, size, generator),
        shape=str(generator.choice(looks.shapes)),
        hue_name=hue_name,
        hue=hue,
        lightness=float(generator.uniform(0.6, 0.8) if light else generator.uniform(0.2, 0.35)),
        background=str(generator.choice(looks.backgrounds)),
        background_hue=looks.hues[generator.integers(len(looks.hues))][1],
        background_lightness=float(generator.uniform(0.2, 0.4) if light else generator.uniform(0.6, 0.8)),
        background_seed=int(generator.integers(2**31)),
        place=tuple(generator.uniform(size=8).tolist()),
        things=tuple(_draw_thing(looks, generator) for _ in range(count)),
        shake=tuple(map(tuple, generator.normal(0, size.shake, (frames, 2)).tolist())),
        noise=float(generator.uniform(1.5, 5)),
        noise_seed=int(generator.integers(2**31)),
    )


def _draw_progress(frames: int, size: Size, generator: np.random.Generator) -> tuple[float, ...]:
    """Progress at each frame: wait, move, pause half-way, move on at another speed, wait."""
    before, after = generator.uniform(0, 0.15, 2)
    pause = generator.uniform(0, size.pause)
    low, high = generator.uniform(0, size.partial), 1 - generator.uniform(0, size.partial)
    half_way = low + (high - low) * generator.uniform(0.25, 0.75)
    first = (1 - before - after - pause) * generator.uniform(0.3, 0.7)  # share of the clip before the pause
    times = np.cumsum([0, before, first, pause])
    knots = [*times, 1 - after, 1.0], [low, low, half_way, half_way, high, high]
    return tuple(np.interp(np.linspace(0, 1, frames), *knots).tolist())


def _draw_thing(looks: Appearance, generator: np.random.Generator) -> Thing:
    return Thing(
        shape=str(generator.choice(looks.shapes)),
        hue=looks.hues[generator.integers(len(looks.hues))][1],
        lightness=float(generator.uniform(0.2, 0.8)),
        radius=float(generator.uniform(0.03, 0.08)),
        start=(float(generator.uniform(0, 4 / 3)), float(generator.uniform(0, 1))),
        drift=tuple(generator.uniform(-0.15, 0.15, 2).tolist()),
    )
