"""Time a leaderboard of 500 results of the full CiA: to read them, to rank them, to write each format.

    python benchmarks/leaderboard.py

The results are made up, with the sizes of the published groups: 16 of SSv2 with 213 validation clips each, each clip of
a video of its own, 66 of EPIC with 47 of 30 people, 28 of Charades with 192 of 260 people. Models are right on 50 to 90
percent of each group's clips. Times are of one run each, of this process without its start; peak memory is of all.
"""

import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.files import write_json
from cia_bench.leaderboard.export import FORMATS, export
from cia_bench.leaderboard.table import rank, read_results
from cia_bench.statistics import mean_over_groups, wilson_interval
from cia_bench.tables import PREDICTIONS

SOURCES = {"ssv2": (16, 213, None), "epic": (66, 47, 30), "charades": (28, 192, 260)}  # groups, clips of each, people
MODELS = (20, 100, 200, 500)


def make_clips() -> pd.DataFrame:
    """The validation clips of all groups, without answers."""
    generator = np.random.default_rng(0)
    parts = []
    for source, (groups, clips, people) in SOURCES.items():
        n = groups * clips
        videos = [f"{source}/video-{number:05d}.webm" for number in range(n)]
        parts.append(
            pd.DataFrame(
                {
                    "group_id": np.repeat(
                        [f"{source}/open-close/noun-{number:02d}" for number in range(groups)], clips
                    ),
                    "clip_id": [f"{source}-{number:05d}_0.0_2.5" for number in range(n)],
                    "source": source,
                    "video": videos,
                    "subject": None if people is None else [f"P{p:03d}" for p in generator.integers(people, size=n)],
                    "label": (generator.random(n) < 0.5).astype(np.int8),
                    "constant": np.int8(0),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def score_of(accuracy: float) -> dict:
    return {"accuracy": float(accuracy), "interval": [max(0, accuracy - 0.02), min(1, accuracy + 0.02)]}


def write_model(folder: Path, number: int, clips: pd.DataFrame) -> None:
    """A result folder as cia eval writes it."""
    generator = np.random.default_rng(number)
    right = generator.random(len(clips)) < generator.uniform(0.5, 0.9)
    rows = clips.assign(prediction=np.where(right, clips.label, 1 - clips.label).astype(np.int8), score=right - 0.5)
    sources, groups = {}, []
    for source, mine in rows.groupby("source"):
        codes = pd.factorize(mine.group_id)[0]
        answers = np.stack([mine[name] == mine.label for name in ("prediction", "constant")]).astype(float)
        accuracy, constant = mean_over_groups(answers, codes)
        coverage = dict.fromkeys(("train_rows", "learnt_rows"), 3 * len(mine))
        coverage |= dict.fromkeys(("validation_rows", "scored_rows"), len(mine))
        sources[source] = {
            "fingerprint": source[0] * 64,
            "groups": int(codes.max()) + 1,
            "clips": len(mine),
            **score_of(accuracy),
            "constant": score_of(constant),
            "resampled": {"unit": "video", "count": 30},
            "coverage": coverage,
        }
        for group_id, group in mine.groupby("group_id"):
            n, correct = len(group), int((group.prediction == group.label).sum())
            part = {"group_id": group_id, "source": source, "n": n, "correct": correct, "accuracy": correct / n}
            test = {"name": "permutation", "p": 0.001, "p_adjusted": 0.002}
            part |= {"interval": list(wilson_interval(correct, n)), "balanced_accuracy": correct / n, "test": test}
            groups.append({**part, "train_clips": 3 * n, "constant": 0.5, "detectable": 0.7, "coverage": coverage})
    mean = np.mean([source["accuracy"] for source in sources.values()])
    record = {
        "model": {"name": f"model-{number:03d}", "parameters": 1000 * (number + 1), "dim": 768, "saw": None},
        "embeddings": {"name": f"model-{number:03d}", "sha256": "0" * 64, "dtype": "float32", "clips": 3 * len(clips)},
        "protocol": {"name": "paper", "probe": {"name": "ridge", "alpha": 1.0}},
        "statistics": {"level": 0.95, "draws": 10_000, "permutations": 999, "seed": 0},
        "sources": sources,
        "mean": {**score_of(mean), "constant": score_of(0.5)},
        "groups": groups,
        "versions": {},
    }
    folder.mkdir()
    PREDICTIONS.write(folder / "predictions.parquet", rows)
    write_json(folder / "result.json", record)


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, numpy {np.__version__}")
    clips = make_clips()
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / f"{number:03d}" for number in range(max(MODELS))]
        for number, folder in enumerate(folders):
            write_model(folder, number, clips)
        for models in MODELS:
            start = time.perf_counter(), time.process_time()
            results = read_results(folders[:models])
            read_s = time.perf_counter() - start[0]
            rankings = rank(results)
            both_s, cpu_s = time.perf_counter() - start[0], time.process_time() - start[1]
            print(f"{models} results: read in {read_s:.2f} s, ranked in {both_s - read_s:.2f} s, {cpu_s:.2f} s of CPU")
        for form in FORMATS:
            start_s = time.perf_counter()
            text = export(rankings, form)
            print(f"  as {form}: {time.perf_counter() - start_s:.2f} s, {len(text) / 1e6:.1f} MB")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    assert "torch" not in sys.modules


if __name__ == "__main__":
    main()
