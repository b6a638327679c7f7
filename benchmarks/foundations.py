"""Time the EPIC build and the evaluation of 66 groups, the latter beside the loop that a user would write.

    python benchmarks/foundations.py [ANNOTATIONS]

The evaluation is of made-up data with EPIC's published sizes (66 groups of 412 clips, 70% of them train) at 768
numbers. The loop looks each clip up in a data frame and fits scikit-learn's RidgeClassifier on float64 per group; it
makes no intervals. The build is timed only if the folder of real annotation files is given. Each time is the best of
three.
"""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifier

from cia_bench import Data, evaluate
from cia_bench.build import build
from cia_bench.tables import CLIPS, GROUPS

GROUP_COUNT, CLIPS_A_GROUP, DIM = 66, 412, 768


def make_data(generator: np.random.Generator) -> tuple[Data, pd.DataFrame]:
    """Groups of clips with random vectors, a few labels' worth of signal in each."""
    clips = pd.DataFrame({"group": np.repeat(np.arange(GROUP_COUNT), CLIPS_A_GROUP)})
    clips["group_id"] = "epic/open-close/" + clips.group.map("{:03d}".format)
    clips["clip_id"] = [f"P{row % 32:02d}/videos/P{row % 32:02d}_{row}" for row in range(len(clips))]
    clips["label"] = generator.integers(0, 2, len(clips)).astype(np.int8)
    clips["split"] = np.where(generator.random(len(clips)) < 0.7, "train", "validation")
    clips["subject"] = clips.clip_id.str[:3]
    clips = clips.assign(source="epic", video=clips.clip_id + ".MP4", start_s=0.0, stop_s=1.0)
    clips = clips.assign(verb="x", noun="x", text="x", hazards=[[]] * len(clips))
    clips = clips.assign(strict_split=clips.split)[CLIPS.schema.names]
    groups = pd.DataFrame({"group_id": clips.group_id.unique()})
    groups = groups.assign(
        source="epic", forward="open", reverse="close", noun="x", published_id=None, status="published"
    )
    for column in set(GROUPS.schema.names) - set(groups.columns):
        groups[column] = 0
    vectors = generator.standard_normal((len(clips), DIM)).astype(np.float32)
    vectors[:, 0] += 5 * clips.label
    return Data(groups, clips), pd.DataFrame({"clip_id": clips.clip_id, "embedding": list(vectors)})


def plain_loop(embeddings: pd.DataFrame, clips: pd.DataFrame) -> float:
    """Mean accuracy over groups as a first script would compute it."""
    accuracies = []
    for _, group in clips.groupby("group_id"):
        parts = {}
        for split in ("train", "validation"):
            rows = group[group.split == split]
            found = [embeddings[embeddings.clip_id == clip_id].embedding.iloc[0] for clip_id in rows.clip_id]
            parts[split] = np.float64(found), rows.label.to_numpy()
        accuracies.append(RidgeClassifier().fit(*parts["train"]).score(*parts["validation"]))
    return float(np.mean(accuracies))


def timed(function, *arguments) -> tuple[float, object]:
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def best_of_three(function, *arguments) -> tuple[float, object]:
    return min((timed(function, *arguments) for _ in range(3)), key=lambda run: run[0])


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, numpy {np.__version__}")
    data, embeddings = make_data(np.random.default_rng(0))
    loop_s, expected = best_of_three(plain_loop, embeddings, data.clips)
    ours_s, result = best_of_three(evaluate, embeddings, data)
    assert abs(result.record["sources"]["epic"]["accuracy"] - expected) < 1e-12
    print(f"evaluate {GROUP_COUNT} groups of {CLIPS_A_GROUP} clips at {DIM} numbers, with intervals: {ours_s:.2f} s")
    print(f"the plain loop, same accuracy {expected:.4f}, no intervals: {loop_s:.1f} s")
    print(f"ratio: {loop_s / ours_s:.0f}")
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as out:
            build_s, record = best_of_three(build, "epic", Path(sys.argv[1]), Path(out))
        print(f"build epic: {record['groups']} groups, {record['clips']:,} clips in {build_s:.2f} s")


if __name__ == "__main__":
    main()
