"""Time `cia build` of Something-Something v2 from 20 thousand to 2 million rows, and of EPIC-KITCHENS-100's real rows.

    python benchmarks/mining.py [EPIC_ANNOTATIONS]

The rows of Something-Something v2 are invented (tests/invented.py) in the owner's layout: templates of 11 published
pairs and others beside them, 17 objects, one row in ten with a rare one. 220,847 is the size of the real data set. Each
build is a process of its own, so that its peak memory is its own; the slope is the time a row against the real size.
"""

import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from invented import write_ssv2  # noqa: E402

from cia_bench.build import build  # noqa: E402
from cia_bench.lexicon import published_groups  # noqa: E402

ROWS = (20_000, 63_000, 220_847, 632_000, 2_000_000)
REAL = 220_847
OTHERS = (  # so that two thirds of the rows are of no pair, roughly as in the real data
    "Holding [something]",
    "Poking [something] so it slightly moves",
    "Putting [something] into [something]",
    "Taking [something] out of [something]",
    "Pretending to put [something] into [something]",
    "Squeezing [something]",
)
OTHERS += tuple(f"{verb} [something] number {n}" for verb in ("Showing", "Touching", "Hitting") for n in range(10))


def timed_build(source: str, annotations: Path) -> tuple[float, float, dict]:
    """Build in a child process; return its seconds, its peak memory in GiB and its record."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with tempfile.TemporaryDirectory() as out:
            started = time.perf_counter()
            record = build(source, annotations, Path(out))
            spent_s = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        os.write(
            writer, f"{spent_s} {peak} {record['groups']} {record['clips']} {record['candidates']['all']}".encode()
        )
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode().split()
    os.waitpid(child, 0)
    names = ("groups", "clips", "candidates")
    return float(answer[0]), float(answer[1]), dict(zip(names, map(int, answer[2:]), strict=True))


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, numpy {np.__version__}")
    pairs = {label for group in published_groups("ssv2") for label in (group.forward, group.reverse)}
    templates = [*sorted(pairs), *OTHERS]
    times = {}
    for rows in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            train = round(rows * 168_913 / (168_913 + 24_777))
            write_ssv2(Path(folder), templates, train, rows - train)
            times[rows] = timed_build("ssv2", Path(folder))
    for rows, (spent_s, peak, found) in times.items():
        slope = spent_s / rows / (times[REAL][0] / REAL)
        print(
            f"ssv2, {rows:>9,} rows: {spent_s:6.2f} s, {1e6 * spent_s / rows:5.1f} us a row ({slope:.2f} of the real "
            f"size's), peak {peak:.2f} GiB; {found['groups']} groups, {found['clips']:,} clips, "
            f"{found['candidates']} candidates"
        )
    if len(sys.argv) > 1:
        spent_s, peak, found = min((timed_build("epic", Path(sys.argv[1])) for _ in range(3)), key=lambda run: run[0])
        print(
            f"epic, real rows: {spent_s:.2f} s (best of three), peak {peak:.2f} GiB; {found['groups']} groups, "
            f"{found['clips']:,} clips, {found['candidates']} candidates"
        )


if __name__ == "__main__":
    main()
