"""Time `cia review` on 5,000 candidates: to open, to move, to decide.

    python benchmarks/review.py

The candidates and their 40 clips each are invented; 1,000 of them are decided on already. The screen is Textual's own,
160 x 48 without a terminal, without videos. To open is all from the start of Python, imports too, until the first group
is drawn, in a process of its own (best of three); a key is from its press until all that it changes is drawn;
x does nothing, so that its time is that of Textual's own test driver.
"""

import asyncio
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.files import write_json
from cia_bench.review.session import Session
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES, CLIPS, COUNTS, GROUPS

COUNT, CLIPS_EACH, DECIDED = 5_000, 40, 1_000
MOVES, DECISIONS = 200, 50
OPEN = """
import asyncio, sys
from pathlib import Path
from cia_bench.review.app import ReviewApp
from cia_bench.review.session import Session

async def run():
    async with ReviewApp(Session(Path(sys.argv[1]), reviewer="ann")).run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        print("drawn", flush=True)

asyncio.run(run())
"""


def invent(data: Path) -> None:
    """Write a build of candidates alone."""
    folder = data / "kitchen"
    folder.mkdir(parents=True)
    dice = np.random.default_rng(0)
    ids = [f"kitchen/open-close/thing-{number}" for number in range(COUNT)]
    candidates = pd.DataFrame({"group_id": ids, "noun": [f"thing {number}" for number in range(COUNT)]}).assign(
        source="kitchen", forward="open", reverse="close", published_id=None, lexicon_row="pairs.csv:open/close"
    )
    candidates = candidates.assign(
        **dict.fromkeys(COUNTS, CLIPS_EACH // 4),
        hazards=[["lopsided", "few_validation"][: number % 3] for number in range(COUNT)],
        risk=dice.uniform(0, 3, COUNT),
        ready=True,
    )
    number = np.arange(COUNT * CLIPS_EACH)
    verb, split = np.where(number % 2, "open", "close"), np.where(number // 2 % 2, "train", "validation")
    clips = pd.DataFrame({"group_id": np.repeat(ids, CLIPS_EACH), "clip_id": [f"v{n // 100}_{n}" for n in number]})
    clips = clips.assign(source="kitchen", video=[f"v{n // 100}.mp4" for n in number], start_s=1.5, stop_s=3.5)
    clips = clips.assign(label=(number % 2).astype(np.int8), verb=verb, noun="thing", split=split)
    clips = clips.assign(text=clips.verb + " the thing on the left", hazards=[[]] * len(clips))
    CANDIDATES.write(folder / "candidates.parquet", candidates)
    CANDIDATE_CLIPS.write(folder / "candidate_clips.parquet", clips)
    for table in (GROUPS, CLIPS):
        table.write(folder / f"{table.name}.parquet", table.schema.empty_table().to_pandas())
    write_json(folder / "build.json", {"source": "kitchen"})


def milliseconds(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def seconds_to_open(data: Path) -> float:
    """From the start of Python until the first group is drawn."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", OPEN, str(data)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "drawn\n"
    spent_s = time.perf_counter() - started
    process.communicate()
    return spent_s


async def key_times(data: Path) -> dict[str, list[float]]:
    """Milliseconds of each press of some keys."""
    from cia_bench.review.app import ReviewApp

    times: dict[str, list[float]] = {}
    async with ReviewApp(Session(data, reviewer="ann")).run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        for key, count in (("x", MOVES), ("j", MOVES), ("G", 1), ("g", 1), ("a", DECISIONS), ("z", 5), ("f", 4)):
            for _ in range(count):
                started = time.perf_counter()
                await pilot.press(key)
                times.setdefault(key, []).append(milliseconds(started))
    return times


def main() -> None:
    import textual

    print(f"{platform.machine()}, Python {platform.python_version()}, textual {textual.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cia-data"
        invent(data)
        session = Session(data, reviewer="ann")
        for place in range(DECIDED):
            session.go(place)
            session.decide("accept")
        started = time.perf_counter()
        session = Session(data, reviewer="ann")
        print(f"{COUNT:,} candidates, {DECIDED:,} decided: a session opens in {milliseconds(started):.0f} ms")
        print(
            f"from the start of Python to the first group drawn: {min(seconds_to_open(data) for _ in range(3)):.2f} s"
        )
        for key, times in asyncio.run(key_times(data)).items():
            print(f"key {key}, {len(times)} times: median {np.median(times):.0f} ms, at most {max(times):.0f} ms")


if __name__ == "__main__":
    main()
