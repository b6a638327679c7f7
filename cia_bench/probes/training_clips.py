"""Read the clips and labels that a probe learns from, and refuse what no probe can learn from."""

import numpy as np

from cia_bench.errors import ConfigError, ProbeError, some

BALANCED = "balanced"


def read_features(features: np.ndarray, axes: str) -> np.ndarray:
    """The features in float64; `axes` says what they must be, such as "vectors (N, D)".

    Raises ProbeError unless they have those axes, are finite, and small enough that the sum of their squares is finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != axes.count(",") + 1:
        raise ProbeError(f"this probe takes {axes}, not an array of shape {features.shape}")
    check_range(features, features.size)
    return features


def check_range(features: np.ndarray, count: int) -> None:
    """Raise ProbeError unless all are finite, and small enough that the sum of `count` such squares is finite."""
    peak = max(features.max(initial=0), -features.min(initial=0))  # NaN if any is: both keep it
    if not np.isfinite(peak):
        raise ProbeError("the features hold a number that is not finite")
    if not peak < np.sqrt(np.finfo(np.float64).max / max(1, count)):
        raise ProbeError("the features are so large that their squares overflow; scale them down")


def read_labels(labels: np.ndarray, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """The two labels in order, (2,), and each clip's as -1.0 or 1.0, (N,).

    Raises ProbeError unless there are at least two clips, a label for each, and two different labels.
    """
    labels = np.asarray(labels)
    if clips < 2:
        raise ProbeError(f"a probe needs at least two clips to learn from, not {clips}")
    if labels.shape != (clips,):
        raise ProbeError(f"{clips} clips need labels of shape ({clips},), not {labels.shape}")
    classes = np.unique(labels)
    if len(classes) != 2:
        raise ProbeError(f"a probe needs two labels to learn from, not {len(classes)}")
    return classes, np.where(labels == classes[1], 1.0, -1.0)


def read_class_labels(labels: np.ndarray, clips: int, classes: int) -> np.ndarray:
    """The labels (N,), each the number of one of the classes.

    Raises ProbeError unless they are whole numbers from 0 up, one for each clip, and of two or more classes, each of
    which has a clip.
    """
    labels = np.asarray(labels)
    if labels.shape != (clips,):
        raise ProbeError(f"{clips} clips need labels of shape ({clips},), not {labels.shape}")
    if classes < 2:
        raise ProbeError(f"a probe needs at least two classes, not {classes}")
    if labels.dtype.kind not in "iu":
        raise ProbeError(f"labels are the numbers of classes, not {labels.dtype}")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise ProbeError(f"label {labels[wrong[0]]} of clip {wrong[0]} is none of the classes, 0 to {classes - 1}")
    labels = labels.astype(np.int64)
    lacking = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(lacking):
        raise ProbeError(f"no training clip of class {some(lacking.tolist())}")
    return labels


def is_constant(features: np.ndarray) -> bool:
    """Whether all clips have the same features, so that nothing can be learnt from them; (N, ...)."""
    return bool((features[-1] == features[0]).all() and (features == features[0]).all())  # most end at the first


def constant_score(targets: np.ndarray, class_weight: str | None) -> float:
    """What to answer where the features say nothing: above 0 if most targets are 1; balanced labels have no majority.

    `targets` (N,) are -1 or 1. Least squares gives the same value as its intercept.
    """
    return 0.0 if class_weight == BALANCED else float(targets.mean())


def clip_weights(targets: np.ndarray, class_weight: str | None) -> np.ndarray | None:
    """The weight of each clip, (N,), or None if all weigh 1. Balanced gives both labels the same sum, as scikit-learn.

    `targets` (N,) are -1 or 1, both of them present.
    """
    if class_weight is None:
        return None
    return len(targets) / (2 * np.where(targets > 0, (targets > 0).sum(), (targets < 0).sum()))


def check_class_weight(class_weight: str | None) -> None:
    if class_weight not in (None, BALANCED):
        raise ConfigError(f"class_weight is {class_weight!r}; choose None or {BALANCED!r}")
