"""Choose the regularisation of a probe of many classes on a held-out tenth of its training clips."""

from dataclasses import dataclass

import numpy as np

from cia_bench.errors import ProbeError
from cia_bench.probes.classes import ClassProbe
from cia_bench.probes.rows import Rows
from cia_bench.probes.training_clips import read_class_labels
from cia_bench.progress import Progress, silent

TENTHS = 10  # of which one is held out


@dataclass(frozen=True)
class HeldOutChoice:
    """A chosen value, with what it was chosen by."""

    value: float
    held_out: int  # clips; 0: none can be, and the value is the probe's own
    accuracies: dict[float, float]  # of each value over the held-out clips, a fraction


def fit_chosen_classes(
    probe: ClassProbe,
    data: Rows,
    labels: np.ndarray,
    units: np.ndarray,
    classes: int,
    seed: int = 0,
    progress: Progress = silent,
) -> ClassProbe:
    """A probe fitted on all clips (N, ...) with the value of its grid that is right most often on held-out ones.

    Labels (N,) are below `classes`; for `units` (N,) and `seed` see hold_out. Each value is fitted on the clips that
    are not held out, its scaling included; of equals the strongest wins. `chosen_` is the value, `choice_` a
    HeldOutChoice, and `evaluations_` those of all fits together. Raises ProbeError as ClassProbe.fit does.
    """
    labels = read_class_labels(labels, len(data), classes)
    if len(units) != len(labels):
        raise ProbeError(f"{len(labels)} clips need as many units, not {len(units)}")
    held = hold_out(units, labels, seed)
    rest, out = (data.take(np.flatnonzero(part)) for part in (~held, held))
    values = probe.from_weak_to_strong(probe.grid)[::-1] if len(out) else []
    length = len(values) * probe.length(len(rest)) + probe.length(len(data))
    fits, accuracies = {}, {}
    with progress("fit the probe", length, "steps") as advance:
        if values:
            for fitted in probe.fit_values(rest, labels[~held], classes, values, advance):
                value = getattr(fitted, probe.regularisation)
                fits[value] = fitted
                accuracies[value] = float((fitted.scores(out).argmax(axis=1) == labels[held]).mean())
        best = max(accuracies, key=accuracies.get, default=getattr(probe, probe.regularisation))  # of equals the first
        (chosen,) = probe.fit_values(data, labels, classes, [best], advance, start=fits.get(best))
    chosen.chosen_, chosen.choice_ = best, HeldOutChoice(best, int(held.sum()), accuracies)
    chosen.evaluations_ += sum(fitted.evaluations_ for fitted in fits.values())
    return chosen


def hold_out(units: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Which clips to hold out, (N,): of each class as near to a tenth as whole units (N,) allow, drawn by `seed`.

    Units are clips that may not be divided, as they share a subject or a video; labels (N,) are whole numbers from 0.
    Units are tried in an order that is drawn: first those that fit in what is to be held out of each of their classes,
    then those that bring it nearer. A class always keeps a clip.
    """
    names, unit = np.unique(units, return_inverse=True)
    sizes = np.bincount(labels)
    pairs, counts = np.unique(unit * len(sizes) + labels, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(names) + 1) * len(sizes)).tolist()
    counted = list(zip((pairs % len(sizes)).tolist(), counts.tolist(), strict=True))  # by unit: class, clips
    lacking, spare = sizes.tolist(), (sizes - 1).tolist()  # tenths of clips; clips
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    held = np.zeros(len(names), dtype=bool)
    for nearer_is_enough in (False, True):
        for one in order:
            parts = counted[starts[one] : starts[one + 1]]
            after = [lacking[label] - TENTHS * count for label, count in parts]
            if nearer_is_enough:
                fits = sum(map(abs, after)) < sum(abs(lacking[label]) for label, _ in parts)
            else:
                fits = min(after) >= 0
            if fits and not held[one] and all(count <= spare[label] for label, count in parts):
                held[one] = True
                for (label, count), left in zip(parts, after, strict=True):
                    lacking[label], spare[label] = left, spare[label] - count
    return held[unit]
