"""Draw the README's picture of synthetic clips: a strip of frames a clip, both labels of some groups.

    python docs/filmstrips.py DATA docs/filmstrips.png

DATA holds a build of `cia build --source synthetic --size small`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cia_bench import read_data
from cia_bench.video import read_frames

GROUPS = ("open-close", "fold-unfold", "fill-empty", "stack-unstack", "enter-exit", "zoom-in-zoom-out")
FRAMES, GAP, TITLE = 6, 8, 18  # frames a strip; pixels


def draw_strip(video: Path, title: str) -> np.ndarray:
    """The frames of a clip side by side below its title, uint8 (H, W, 3)."""
    frames = read_frames(video, None, None, FRAMES).images
    strip = Image.fromarray(np.concatenate(list(frames), axis=1))
    picture = Image.new("RGB", (strip.width, strip.height + TITLE), "white")
    ImageDraw.Draw(picture).text((0, 1), title, "black", ImageFont.load_default(13))
    picture.paste(strip, (0, TITLE))
    return np.asarray(picture)


def main(data: Path, out: Path) -> None:
    clips = read_data(data, ["synthetic"]).clips
    rows = []
    for group in GROUPS:
        of_group = clips[clips.group_id.str.startswith(f"synthetic/{group}/") & (clips.split == "validation")]
        pair = [of_group[of_group.label == label].iloc[0] for label in (1, 0)]
        strips = [draw_strip(data / "synthetic" / "videos" / clip.video, clip.verb.replace("-", " ")) for clip in pair]
        gap = np.full((len(strips[0]), GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([strips[0], gap, strips[1]], axis=1))
    Image.fromarray(np.concatenate(rows)).quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
