"""Divide a group's training clips into folds that keep people and videos together."""

import numpy as np

MOST_FOLDS = 5


def make_folds(clusters: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray | None:
    """The fold of each clip, (N,), or None if no folds leave both labels in each training part.

    `clusters` (N,) numbers what may not be divided: clips that share a subject or a video. There are five folds, or as
    many as there are clusters, of about as many clips of each label as clusters allow; who shares a fold is drawn by
    `seed`. Both labels stay in each training part if each label is in two clusters or more, and not otherwise. Given
    the same label for all clips, the folds depend on clusters alone.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=int)  # clips of each cluster and label
    np.add.at(counts, (cluster, label), 1)
    if ((counts > 0).sum(axis=0) < 2).any():
        return None
    folds = np.zeros((min(MOST_FOLDS, len(names)), len(classes)), dtype=int)
    fold_of = np.empty(len(names), dtype=int)
    for one in _order(counts, np.random.default_rng(seed)):
        crowding = folds.sum(axis=1)
        alone = np.flatnonzero(counts[one])
        if len(alone) == 1:  # a cluster of one label goes where that label is rarest: it never joins all of its kind
            crowding = crowding + (len(label) + 1) * folds[:, alone[0]]
        fold_of[one] = crowding.argmin()
        folds[fold_of[one]] += counts[one]
    return fold_of[cluster]


def _order(counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Clusters of both labels first, as they are the hardest to place; then large before small, drawn among equals."""
    drawn = generator.permutation(len(counts))
    several, size = (counts[drawn] > 0).sum(axis=1), counts[drawn].sum(axis=1)
    return drawn[np.lexsort((-size, -several))]
