"""Time the softmax probe at the size of Kinetics-400, and beside scikit-learn's on a part of it.

    python benchmarks/class_probe.py part    # 12,000 clips of 100 classes, beside scikit-learn's
    python benchmarks/class_probe.py         # 240,000 clips of 400 classes; `cuda` does it on a GPU

The data is made up: float32 vectors of 768 numbers about the mean of their class, with noise whose variance falls as
1 / n along 768 directions. The probe chooses of five values on a held-out tenth and is fitted on all. scikit-learn's
LogisticRegression (lbfgs) has the same features and penalty, in float32, at tolerance 1e-4, its default, and 1e-6; the
losses of all are worked out in float64. OMP_NUM_THREADS sets the threads of both sides.
"""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import sklearn
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from cia_bench.probes import Rows, SoftmaxProbe, fit_chosen_classes
from cia_bench.probes.standardised import Standardised
from cia_bench.progress import shown

D = 768
APART = 0.15  # deviation of the classes' means, as a share of that of the noise
NEW = 20_000  # clips to score


def make_clips(clips: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (clips, D) and labels (clips,)."""
    generator = np.random.default_rng(0)
    turn = np.linalg.qr(generator.standard_normal((D, D)))[0]
    mix = (turn * np.sqrt(1 / np.arange(1, D + 1)) @ turn.T).astype(np.float32)
    means = APART * generator.standard_normal((classes, D)).astype(np.float32) @ mix
    labels = generator.permutation(np.arange(clips) % classes)
    vectors = np.empty((clips, D), dtype=np.float32)
    for start in range(0, clips, 10_000):
        part = slice(start, start + 10_000)
        noise = generator.standard_normal((len(labels[part]), D), dtype=np.float32)
        vectors[part] = noise @ mix + means[labels[part]]
    return vectors, labels


def time_whole(clips: int, classes: int, device: str | None) -> None:
    vectors, labels = make_clips(clips + NEW, classes)
    train, new = Rows(vectors, np.arange(clips)), Rows(vectors, np.arange(clips, clips + NEW))
    before = peak_gib()
    start = time.perf_counter()
    probe = fit_chosen_classes(
        SoftmaxProbe(device=device), train, labels[:clips], np.arange(clips), classes, progress=shown
    )
    fitted_s = time.perf_counter() - start
    start = time.perf_counter()
    accuracy = (probe.scores(new).argmax(axis=1) == labels[clips:]).mean()
    scored_s = time.perf_counter() - start
    flops = 4 * D * classes * clips * probe.evaluations_  # the choice has a tenth less
    print(
        f"{clips:,} clips of {D}, {classes} classes: {fitted_s / 60:.1f} min, {probe.evaluations_} evaluations,",
        end=" ",
    )
    print(f"about {flops / fitted_s / 1e9:.0f} GFLOP/s; chose l2 {probe.l2:g}, converged: {probe.converged_}")
    print(
        "held-out top-1 by l2:", ", ".join(f"{l2:g}: {100 * one:.2f}%" for l2, one in probe.choice_.accuracies.items())
    )
    print(f"{NEW:,} new clips: top-1 {100 * accuracy:.2f}%, scored in {scored_s:.1f} s")
    print(f"peak memory {peak_gib():.2f} GiB, of which {before:.2f} before the fit, with the data")
    if device:
        print(
            f"on {torch.cuda.get_device_name(device)}, there {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"
        )


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def compare(clips: int, classes: int) -> None:
    vectors, labels = make_clips(clips, classes)
    data = Rows(vectors, np.arange(clips))
    scaled = ((vectors - vectors.mean(axis=0, dtype=float)) / vectors.std(axis=0, dtype=float)).astype(np.float32)
    values = sorted(SoftmaxProbe.grid, reverse=True)
    probes, ours_s = timed(lambda: list(SoftmaxProbe().fit_values(data, labels, classes, values)))
    losses = {probe.l2: loss_of(scaled, labels, probe.coef_, probe.intercept_, probe.l2) for probe in probes}
    evaluations = [probe.evaluations_ for probe in probes]
    print(f"{clips:,} clips of {D}, {classes} classes, l2 {values}: {ours_s:.0f} s, evaluations {evaluations}")
    for tolerance in (1e-4, 1e-6):
        models, theirs_s = timed(lambda tolerance=tolerance: fit_theirs(scaled, labels, values, tolerance))
        above = [
            f"{loss_of(scaled, labels, model.coef_.T, model.intercept_, l2) / losses[l2] - 1:+.0e}"
            for l2, model in zip(values, models, strict=True)
        ]
        spent = f"{theirs_s:.0f} s, {theirs_s / ours_s:.1f} times ours"
        print(f"  scikit-learn's at tolerance {tolerance:g}: {spent}, iterations", end=" ")
        print(f"{[int(model.n_iter_[0]) for model in models]}; its losses less ours, relative: {', '.join(above)}")
    Standardised.spectrum = torch.ones(D, dtype=float), torch.eye(D, dtype=float)
    plain = SoftmaxProbe().fit_values(data, labels, classes, values)
    print(f"  ours without the features' covariance: evaluations {[probe.evaluations_ for probe in plain]}")


def fit_theirs(scaled: np.ndarray, labels: np.ndarray, values: list[float], tol: float) -> list[LogisticRegression]:
    return [LogisticRegression(C=1 / (len(labels) * l2), tol=tol, max_iter=1000).fit(scaled, labels) for l2 in values]


def timed(function: Callable) -> tuple[object, float]:
    """What it gave, and the seconds it took, the best of two."""
    spent_s = []
    for _ in range(2):
        start = time.perf_counter()
        answer = function()
        spent_s.append(time.perf_counter() - start)
    return answer, min(spent_s)


def loss_of(features: np.ndarray, labels: np.ndarray, coef: np.ndarray, intercept: np.ndarray, l2: float) -> float:
    logs = log_softmax(features.astype(float) @ coef + intercept, axis=1)
    return -logs[np.arange(len(labels)), labels].mean() + l2 / 2 * (coef**2).sum()


def main() -> None:
    versions = f"torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    cores = f"{os.cpu_count()} cores ({platform.machine()}), {torch.get_num_threads()} threads"
    print(f"{cores}, Python {platform.python_version()}, {versions}")
    if sys.argv[1:2] == ["part"]:
        return compare(12_000, 100)
    time_whole(240_000, 400, (sys.argv[1:2] or [None])[0])


if __name__ == "__main__":
    main()
