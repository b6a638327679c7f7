"""Run the demo for five seeds: its time and memory, and whether order-blind scores stay at chance.

    python benchmarks/demo.py

The memory is the largest sum of the resident sets of the command and its workers, looked at every tenth of a second
(Linux).
"""

import csv
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from cia_bench.demo import run_demo

SEEDS = 5


def resident_bytes(root: int) -> int:
    """The sum of the resident sets of a process and all its descendants."""
    parents, sizes = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # it ended
            parents[int(entry.name)], sizes[int(entry.name)] = int(fields[1]), int(fields[21])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sizes.get(pid, 0) for pid in family) * os.sysconf("SC_PAGE_SIZE")


def measure_command(out: Path) -> tuple[float, float]:
    """Seconds and peak GiB of `cia demo` as a user types it."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen([Path(sys.executable).parent / "cia", "demo", "--out", out], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident_bytes(process.pid))
        time.sleep(0.1)
    assert process.returncode == 0
    return time.perf_counter() - started, peak / 2**30


def scores(out: Path) -> dict[str, tuple[float, float, float]]:
    """Accuracy and interval in percent of each model of a demo."""
    with (out / "leaderboard.csv").open() as file:
        rows = csv.DictReader(file)
        return {row["model"]: tuple(float(row[f"synthetic{end}"]) for end in ("", "_low", "_high")) for row in rows}


def main() -> None:
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, torch {torch.__version__}"
    )
    by_seed = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(SEEDS):
            out = Path(folder) / str(seed)
            if seed == 0:
                spent_s, peak_gib = measure_command(out)
                print(f"cia demo: {spent_s:.0f} s, at most {peak_gib:.2f} GiB in all its processes")
            else:
                run_demo("small", out, seed=seed)
            by_seed.append(scores(out))
    print(f"\naccuracy in percent with 95% interval, seeds 0 to {SEEDS - 1}, size small")
    for model in sorted(by_seed[0], key=lambda name: -by_seed[0][name][0]):
        cells = ["{:.1f} [{:.1f}, {:.1f}]".format(*seed[model]) for seed in by_seed]
        print(f"{model:<22}{'  '.join(cells)}")


if __name__ == "__main__":
    main()
