"""Time `cia review` on 5,000 candidates: to open, to move, to decide.

    python benchmarks/review.py

The candidates and their 40 clips each are invented; 1,000 of them are decided on already. The screen is Textual's own,
without a terminal, 160 x 48: from the start of the program until the first group is drawn, then from a key to the end
of the drawing that follows, for 200 moves and 50 decisions. Times are of this process, without the start of Python.
"""

import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.files import write_json
from cia_bench.review.session import Session
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES, CLIPS, COUNTS, GROUPS

GROUPS_COUNT, CLIPS_EACH, DECIDED = 5_000, 40, 1_000


def invent(data: Path) -> None:
    """Write a build of candidates alone."""
    folder = data / "kitchen"
    folder.mkdir(parents=True)
    dice = np.random.default_rng(0)
    ids = [f"kitchen/open-close/thing-{number}" for number in range(GROUPS_COUNT)]
    candidates = pd.DataFrame({"group_id": ids, "noun": [f"thing {number}" for number in range(GROUPS_COUNT)]}).assign(
        source="kitchen", forward="open", reverse="close", published_id=None, lexicon_row="pairs.csv:open/close"
    )
    candidates = candidates.assign(
        **dict.fromkeys(COUNTS, CLIPS_EACH // 4),
        hazards=[["lopsided", "few_validation"][: number % 3] for number in range(GROUPS_COUNT)],
        risk=dice.uniform(0, 3, GROUPS_COUNT),
        ready=True,
    )
    number = np.arange(GROUPS_COUNT * CLIPS_EACH)
    label = number % 2
    clips = pd.DataFrame({"group_id": np.repeat(ids, CLIPS_EACH), "clip_id": [f"v{n // 100}_{n}" for n in number]})
    clips = clips.assign(source="kitchen", video=[f"v{n // 100}.mp4" for n in number], start_s=1.5, stop_s=3.5)
    clips = clips.assign(label=label.astype(np.int8), verb=np.where(label, "open", "close"), noun="thing")
    clips = clips.assign(text=clips.verb + " the thing on the left", split=np.where(number // 2 % 2, *CLIPS_SPLITS))
    CANDIDATES.write(folder / "candidates.parquet", candidates)
    CANDIDATE_CLIPS.write(folder / "candidate_clips.parquet", clips.assign(hazards=[[]] * len(clips)))
    for table in (GROUPS, CLIPS):
        empty = table.schema.empty_table().to_pandas()
        table.write(folder / f"{table.name}.parquet", empty)
    write_json(folder / "build.json", {"source": "kitchen"})


CLIPS_SPLITS = ("train", "validation")


def milliseconds(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cia-data"
        invent(data)
        session = Session(data, reviewer="ann")
        for place in range(DECIDED):
            session.go(place)
            session.decide("accept")
        started = time.perf_counter()
        session = Session(data, reviewer="ann")
        opened = milliseconds(started)
        started = time.perf_counter()
        session.search("thing 44")
        searched = milliseconds(started)
        session.search("")
        times = []
        for _ in range(50):
            started = time.perf_counter()
            session.decide("reject")
            session.advance()
            session.progress()
            times.append(milliseconds(started))
        print(f"session: open {opened:.0f} ms, search {searched:.0f} ms, decision {np.median(times):.1f} ms")


if __name__ == "__main__":
    main()
