"""Time the probes: plain ridge beside scikit-learn's, choosing a regularisation, and refits for a permutation test.

    OMP_NUM_THREADS=1 python benchmarks/probes.py

The data is made up, with the sizes of EPIC's groups (412 clips of 768 numbers) and of SSv2's (853 clips of 6,144), 70%
of the clips train. Times are the best of three, for one group each.
"""

import os
import platform
import time

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cia_bench.probes import RidgeProbe, RidgeRefits, build_probe, fit_chosen, make_folds

SIZES = {"EPIC": (412, 768), "SSv2": (853, 6144)}
ALPHAS = RidgeProbe.grid


def make_group(clips: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the training clips, their labels, and the features of the others."""
    generator = np.random.default_rng(0)
    labels = (generator.random(clips) < 0.4).astype(int)
    features = generator.standard_normal((clips, dim)).astype(np.float32)
    features[:, :8] += 0.3 * labels[:, None]
    train = round(0.7 * clips)
    return features[:train], labels[:train], features[train:]


def best_of_three(function) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def time_fits(name: str) -> None:
    train, labels, new = make_group(*SIZES[name])
    ours_s = best_of_three(lambda: RidgeProbe().fit(train, labels).predict(new))
    theirs_s = best_of_three(lambda: RidgeClassifier().fit(np.float64(train), labels).predict(np.float64(new)))
    print(f"{name}, plain ridge: {1000 * ours_s:.0f} ms, scikit-learn's in float64 {1000 * theirs_s:.0f} ms")
    clusters = np.arange(len(train))
    for probe in ("ridge", "logistic", "mlp"):
        probe = build_probe(probe, class_weight="balanced", standardise=True)
        chosen_s = best_of_three(lambda probe=probe: fit_chosen(probe, train, labels, clusters))
        print(f"{name}, {type(probe).__name__} chosen of {len(probe.grid)} values in 5 folds: {chosen_s:.2f} s")


def time_permutations(class_weight: str | None, clips: int = 300, dim: int = 768, count: int = 512) -> None:
    train, labels, new = make_group(round(clips / 0.7), dim)
    folds = make_folds(np.arange(clips), np.zeros(clips), seed=0)
    generator = np.random.default_rng(0)
    labellings = np.array([generator.permutation(labels) for _ in range(count)])
    probe = RidgeProbe(class_weight=class_weight, standardise=True)
    refits = RidgeRefits(probe, train, new, folds)
    ours_s = best_of_three(lambda: refits.decision_function(labellings)) / count
    fixed = RidgeRefits(probe, train, new)
    fixed_s = best_of_three(lambda: fixed.decision_function(labellings)) / count
    slow_s = best_of_three(lambda: fit_chosen(probe, train, labellings[0], np.arange(clips)))
    theirs_s = best_of_three(lambda: choose_plainly(class_weight, train, labellings[0], folds))
    times = f"{1000 * ours_s:.2f} ms, with one alpha {1000 * fixed_s:.2f} ms"
    others = f"a fit_chosen for each {1000 * slow_s:.0f} ms, scikit-learn's refits {1000 * theirs_s:.0f} ms"
    print(f"a permutation, {clips} clips of {dim}, 9 alphas, 5 folds, weights {class_weight}: {times}; {others}")


def choose_plainly(class_weight: str | None, train: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> None:
    """The loops that a user would write."""
    for alpha in ALPHAS:
        for fold in range(5):
            model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=alpha, class_weight=class_weight))
            model.fit(np.float64(train[folds != fold]), labels[folds != fold]).predict(np.float64(train[folds == fold]))


def main() -> None:
    print(f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, numpy {np.__version__}")
    for class_weight in (None, "balanced"):
        time_permutations(class_weight)
    for name in SIZES:
        time_fits(name)


if __name__ == "__main__":
    main()
