"""The synthetic source as a task: each verb is a class, and what a build of it has for validation is scored."""

from pathlib import Path

import pandas as pd

from cia_bench.clip_files import clips_to_embed
from cia_bench.sources import SYNTHETIC


def listed(data: Path, videos: Path | None) -> tuple[list[str], pd.DataFrame, Path]:
    """The classes and rows (see task.make_task) of the build in DATA, and its folder of videos.

    Raises BuildError if it is not built, ConfigError if its videos are not where they should be.
    """
    folders, clips = clips_to_embed(data, [SYNTHETIC], videos)
    rows = clips[["clip_id", "video", "split", "subject"]].assign(number="1", class_name=clips.verb)
    return sorted(clips.verb.unique()), rows, folders[SYNTHETIC]
