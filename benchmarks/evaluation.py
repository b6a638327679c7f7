"""Time `evaluate` beside the loop a user would write, what its statistics add, and its memory.

    python benchmarks/evaluation.py

The data is made up, with the sizes of the full CiA: 16 groups of 853 clips as in Something-Something v2, 66 of 412 as
in EPIC-KITCHENS-100, 28 of 768 as in Charades; three quarters train. Clips of SSv2 are independent; those of EPIC are
of 32 subjects in 500 videos, those of Charades of 267 in 9,000. Numbers are random float32, with each clip's label in
eight of them. Both sides start from the same frame with columns clip_id and embedding, and their accuracies must be the
same. The loop gives scikit-learn float64, as `evaluate` takes it. The sides run in turn, and the best times count.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.linear_model import RidgeClassifier

from cia_bench.build import Data
from cia_bench.evaluation import evaluate
from cia_bench.protocols import EvaluationSettings
from cia_bench.results import Result
from cia_bench.splits import strict_split
from cia_bench.tables import COUNTS, SPLITS, write_embeddings

SIZES = {"ssv2": (16, 853), "epic": (66, 412), "charades": (28, 768)}  # groups, and clips in each
PEOPLE = {"epic": (32, 500), "charades": (267, 9000)}  # subjects and videos; of ssv2 each clip is a video of its own
SETTINGS = {
    "accuracies alone": EvaluationSettings(draws=1, permutations=0),
    "and 10,000 bootstrap draws": EvaluationSettings(permutations=0),
    "and 999 permutations": EvaluationSettings(),
    "strict, accuracies alone": EvaluationSettings("strict", draws=1, permutations=0),
    "strict, 10,000 draws and 999 permutations": EvaluationSettings("strict"),
}
ALONE = SETTINGS["accuracies alone"]
NAMES = ("groups", "clips")
TURNS = 3


def make_source(source: str, dim: int) -> tuple[Data, pd.DataFrame]:
    """Groups and clips of a source, and their embeddings."""
    groups, size = SIZES[source]
    count = groups * size
    generator = np.random.default_rng([0, *source.encode()])
    label = (generator.random(count) < 0.4).astype(np.int8)
    subjects, videos = PEOPLE.get(source, (0, count))
    video = generator.integers(videos, size=count) if subjects else np.arange(count)
    is_validation = generator.permutation(videos)[video] < videos / 4  # whole videos
    group_ids = np.array([f"{source}/open-close/noun{number}" for number in range(groups)], dtype=object)
    clips = pd.DataFrame({"group_id": group_ids[np.arange(count) // size]})
    clips["clip_id"] = [f"{source}/videos/clip_{number}" for number in range(count)]
    clips["source"] = source
    clips["video"] = [f"{number}.mp4" for number in video]
    clips["start_s"], clips["stop_s"], clips["label"] = np.nan, np.nan, label
    clips["verb"] = np.where(label, "open", "close")
    clips["noun"] = clips.text = "noun"
    clips["text"] = "a narration"
    clips["split"] = np.where(is_validation, SPLITS[1], SPLITS[0])
    clips["subject"] = [f"S{number % subjects}" for number in video] if subjects else None
    clips["hazards"] = [[] for _ in range(count)]
    clips["strict_split"] = strict_split(clips, source, seed=0).splits
    table = pd.DataFrame({"group_id": group_ids, "source": source, "forward": "open", "reverse": "close"})
    table["noun"], table["published_id"], table["status"] = "noun", None, "accepted"
    table[list(COUNTS)] = 1  # nobody reads them here
    vectors = generator.standard_normal((count, dim), dtype=np.float32)
    vectors[:, :8] += 0.3 * label[:, None]
    return Data(table, clips), pd.DataFrame({"clip_id": clips.clip_id, "embedding": list(vectors)})


def plain_loop(data: Data, embeddings: pd.DataFrame) -> dict[str, float]:
    """The accuracy of each group, as a fraction."""
    accuracies = {}
    for group_id in data.groups.group_id:
        group = data.clips[data.clips.group_id == group_id]
        parts = {}
        for split in SPLITS:
            clips = group[group.split == split]
            vectors = [embeddings[embeddings.clip_id == clip_id].embedding.iloc[0] for clip_id in clips.clip_id]
            parts[split] = np.stack(vectors).astype(np.float64), clips.label
        accuracies[group_id] = RidgeClassifier().fit(*parts["train"]).score(*parts["validation"])
    return accuracies


def joined(sources: list[str], dim: int) -> tuple[Data, pd.DataFrame]:
    """Several sources as one data set and one frame of embeddings."""
    made = [make_source(source, dim) for source in sources]
    groups, clips = (pd.concat([getattr(data, name) for data, _ in made], ignore_index=True) for name in NAMES)
    return Data(groups, clips), pd.concat([embeddings for _, embeddings in made], ignore_index=True)


def seconds_of(function: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def accuracies_of(result: Result) -> dict[str, float]:
    return result.groups.set_index("group_id").accuracy.to_dict()


def compare(sources: list[str], dim: int) -> None:
    """Time both sides in turn, and check that they agree."""
    data, embeddings = joined(sources, dim)
    theirs_s, ours_s = [], []
    for _ in range(TURNS):
        spent_s, expected = seconds_of(lambda: plain_loop(data, embeddings))
        theirs_s.append(spent_s)
        for _ in range(TURNS):
            spent_s, result = seconds_of(lambda: evaluate(embeddings, data, settings=ALONE))
            ours_s.append(spent_s)
        if accuracies_of(result) != expected:
            raise SystemExit("the accuracies differ")
    print(
        f"{', '.join(sources)} at {dim:,} numbers ({len(embeddings):,} clips, {len(data.groups)} groups): evaluate "
        f"{min(ours_s):.2f} s, the plain loop {min(theirs_s):.1f} s: {min(theirs_s) / min(ours_s):.0f} times faster, "
        f"the same accuracies"
    )


def time_statistics(sources: list[str], dim: int) -> None:
    data, embeddings = joined(sources, dim)
    for name, settings in SETTINGS.items():
        runs = TURNS if not settings.permutations else 1
        spent_s = min(seconds_of(lambda s=settings: evaluate(embeddings, data, settings=s))[0] for _ in range(runs))
        print(f"{', '.join(sources)} at {dim:,} numbers, {name}: {spent_s:.1f} s")


def resident(name: str) -> int:
    """VmRSS: bytes in memory; VmHWM: the most there ever were."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) * 1024


def measure_memory(sources: list[str], dim: int) -> None:
    """How much the peak of a new process grows in evaluate, as a multiple of the size of the embeddings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.parquet"
        _, embeddings = joined(sources, dim)
        write_embeddings(path, embeddings.clip_id.tolist(), np.stack(embeddings.embedding))
        del embeddings
        for given in ("frame", path):
            subprocess.run([sys.executable, __file__, "memory", str(given), str(dim), *sources], check=True)


def tell_growth(given: str, dim: int, sources: list[str]) -> None:
    is_file = given != "frame"
    data, embeddings = joined(sources, 8 if is_file else dim)
    before = resident("VmRSS")
    evaluate(given if is_file else embeddings, data, settings=SETTINGS["strict, accuracies alone"])
    size = len(embeddings) * dim * 4
    growth = resident("VmHWM") - before
    print(
        f"{', '.join(sources)} at {dim:,} numbers, embeddings of {size / 2**20:.0f} MiB in a "
        f"{'Parquet file' if is_file else 'frame'}, strict: memory grows by {growth / 2**20:.0f} MiB, "
        f"{growth / size:.2f} times the embeddings"
    )


def main() -> None:
    if sys.argv[1:2] == ["memory"]:
        return tell_growth(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    versions = f"numpy {np.__version__}, pandas {pd.__version__}, scikit-learn {sklearn.__version__}"
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}")
    compare(list(SIZES), 768)
    compare(["ssv2", "epic"], 6144)
    measure_memory(list(SIZES), 768)
    measure_memory(["epic"], 6144)
    time_statistics(list(SIZES), 768)


if __name__ == "__main__":
    main()
