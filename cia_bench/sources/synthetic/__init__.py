"""The synthetic source: rendered clips of chiral motions, with known answers and without anybody's licence."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cia_bench.errors import ConfigError
from cia_bench.lexicon import PublishedGroup
from cia_bench.sources import ACTION_COLUMNS, OPTIONAL_COLUMNS
from cia_bench.sources.synthetic.motions import MOTIONS
from cia_bench.sources.synthetic.scenes import Scene, choose_size, draw_scene
from cia_bench.tables import SPLITS

SUFFIXES = (".mp4", ".webm")


@dataclass(frozen=True)
class PlannedClip:
    """A clip to render: its place, its scene, and which way that is played."""

    video: str  # path below the source's video folder
    scene: Scene
    label: int  # 1: played forwards, 0: backwards
    split: str

    @property
    def verb(self) -> str:
        motion = MOTIONS[self.scene.motion]
        return motion.forward if self.label else motion.reverse


def plan(size: str, seed: int) -> list[PlannedClip]:
    """All clips of a size and a seed. Labels alternate, and in each label the kinds of file, so that each is balanced.

    Size and seed are in each path, so that clips of two builds are never taken for each other.

    Raises ConfigError for an unknown size and a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it can't be negative")
    counts = choose_size(size)
    clips = []
    for group, motion in enumerate(MOTIONS):
        for split_number, split in enumerate(SPLITS):
            for number in range(getattr(counts, split)):
                generator = np.random.default_rng([seed, *size.encode(), group, split_number, number])
                place = f"{size}-{seed}/{motion}/{split}-{number:03d}{SUFFIXES[number // 2 % 2]}"
                clips.append(PlannedClip(place, draw_scene(motion, split, counts, generator), 1 - number % 2, split))
    return clips


def planned_actions(clips: list[PlannedClip]) -> pd.DataFrame:
    """The clips as a source's actions (columns sources.ACTION_COLUMNS and OPTIONAL_COLUMNS), each a whole file."""
    rows = [
        {
            "clip_id": clip.video.rsplit(".", 1)[0],
            "video": clip.video,
            "start_s": None,
            "stop_s": None,
            "verb": clip.verb,
            "noun": MOTIONS[clip.scene.motion].noun,
            "text": f"{clip.verb.replace('-', ' ')}: {MOTIONS[clip.scene.motion].noun}, {clip.scene.hue_name}",
            "split": clip.split,
            "subject": None,
        }
        for clip in clips
    ]
    frame = pd.DataFrame(rows, columns=list(ACTION_COLUMNS)).astype({"start_s": float, "stop_s": float})
    return frame.assign(**OPTIONAL_COLUMNS)


def planned_groups() -> list[PublishedGroup]:
    """The groups that the motions show, each under the motion's name."""
    return [PublishedGroup(name, motion.forward, motion.reverse, (motion.noun,)) for name, motion in MOTIONS.items()]
