"""The vectors that a model of a store gives for the same clips with their frames changed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.combined import join
from cia_bench.controls import FRAME_COUNTS, ORDER_BLIND, SINGLE_FRAMES
from cia_bench.embeddings import StoredModel, summary_of_stored
from cia_bench.encoders import ModelName, load_summary
from cia_bench.errors import EmbeddingError, some
from cia_bench.frame_order import ORDERS, REVERSED, SHUFFLED, TAKES
from cia_bench.store import Stored, in_order, is_store, order_folder, other_identity, read_store, stored_encoders

ROUNDING = 1e-5  # of a vector's largest number: what a sum may differ by once its terms come in another order
BLIND_SUMMARY = "mean"


class Variants:
    """A model's vectors of N clips, as they are and changed.

    `change` is ORDER_BLIND or of frame_order.TAKES. With `as_frames` a model is one frame encoder without a summary,
    and its sequences (N, T, D) are its vectors. All parts of a model are changed alike.

    Raises EmbeddingError if the store has no longer what is asked for.
    """

    def __init__(self, model: StoredModel, clip_ids: Sequence[str], as_frames: bool = False):
        self.combine = model.combine
        self.parts = [_read_part(model, part, clip_ids, as_frames) for part in model.parts]

    def reason(self, change: str) -> str | None:
        """Why there is no such change of this model; None if there is."""
        if change in (REVERSED, SHUFFLED) and all(part.T == 1 for part in self.parts):
            return "one frame has no order"
        return next((reason for part in self.parts if (reason := part.reason(change))), None)

    def vectors(self, change: str) -> np.ndarray:
        """The changed vectors, (N, E).

        Reversed or shuffled, a part's vector that differs from what it was by no more than rounding is what it was: a
        part that is blind to order gives the same numbers, whatever order it sums them in.
        """
        return join([part.vectors(change) for part in self.parts], self.combine)


def _read_part(model: StoredModel, part: ModelName, clip_ids: Sequence[str], as_frames: bool) -> "_Frames | _Clips":
    stored, vectors = _read(model.store, part.encoder, clip_ids)
    if vectors.ndim == 2:
        return _Clips(model.store, part.encoder, stored.record, vectors, clip_ids)
    place = f"{model.store} ({part})"
    summary = None if as_frames else summary_of_stored(place, part, stored, model.weights, model.device)
    return _Frames(part.encoder, vectors, summary, clip_ids)


def _read(store: Path, encoder: str, clip_ids: Sequence[str]) -> tuple[Stored, np.ndarray]:
    """What a store has of an encoder, and of it the embeddings of these clips, in their order."""
    stored = read_store(store, encoder, clip_ids)
    rows = pd.Index(stored.clips.clip_id).get_indexer(clip_ids)
    if (rows < 0).any():
        raise EmbeddingError(f"{store} lacks {some([clip_ids[row] for row in np.flatnonzero(rows < 0)])} of {encoder}")
    in_place = len(rows) == len(stored.embeddings) and (rows == np.arange(len(rows))).all()
    return stored, stored.embeddings if in_place else stored.embeddings[rows]


class _Frames:
    """A frame encoder with its summary, or without one for a probe that takes frames."""

    def __init__(self, encoder: str, sequences: np.ndarray, summary, clip_ids: Sequence[str]):
        self.encoder, self.sequences, self.summary, self.clip_ids = encoder, sequences, summary, clip_ids
        self.T = sequences.shape[1]

    def reason(self, change: str) -> str | None:
        if FRAME_COUNTS.get(change, 0) > self.T:
            return f"{self.encoder} gives {self.T} frames a clip"
        return None

    def vectors(self, change: str) -> np.ndarray:
        if change == ORDER_BLIND:
            means = load_summary(BLIND_SUMMARY)(self.sequences, self.clip_ids)
            return means if self.summary else means[:, None]
        times = np.array([TAKES[change](clip_id, self.T) for clip_id in self.clip_ids])  # (N, K)
        taken = np.take_along_axis(self.sequences, times[:, :, None], axis=1)
        if change in SINGLE_FRAMES and self.summary:
            return taken[:, 0]  # as it is: LiFT, for one, has no summary of one frame
        changed = self._summarise(taken)
        return _unless_rounding(changed, self._summarise(self.sequences)) if change in ORDERS else changed

    def _summarise(self, sequences: np.ndarray) -> np.ndarray:
        return self.summary(sequences, self.clip_ids) if self.summary else sequences


class _Clips:
    """A video encoder: what it gives for changed frames was extracted, or is not there."""

    T = None

    def __init__(self, store: Path, encoder: str, record: dict, vectors: np.ndarray, clip_ids: Sequence[str]):
        self.store, self.encoder, self.record = store, encoder, record
        self.plain, self.clip_ids = vectors, clip_ids

    def reason(self, change: str) -> str | None:
        if change not in (REVERSED, SHUFFLED):
            return f"{self.encoder} gives one vector a clip, and none of its frames"
        place = order_folder(self.store, change)
        again = f"cia extract --order {change} --model {self.encoder} --out {self.store} embeds them"
        if not is_store(place) or self.encoder not in stored_encoders(place):
            return f"{self.encoder} gives one vector a clip, and {place} has none of {change} frames; {again}"
        try:
            stored, _ = _read(place, self.encoder, self.clip_ids)
        except EmbeddingError as error:
            return f"{error}; {again}"
        other = other_identity(stored.record, in_order(self.record, change))
        return f"{place} was made with other {', other '.join(other)} than {self.store}; {again}" if other else None

    def vectors(self, change: str) -> np.ndarray:
        _, changed = _read(order_folder(self.store, change), self.encoder, self.clip_ids)
        return _unless_rounding(changed, self.plain)


def _unless_rounding(changed: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """The changed vectors, but as they were where they differ by no more than rounding; (N, ...) each."""
    axes = tuple(range(1, plain.ndim))
    largest = np.maximum(np.abs(changed).max(axis=axes), np.abs(plain).max(axis=axes))
    same = np.abs(changed - plain).max(axis=axes) <= ROUNDING * largest
    return np.where(np.expand_dims(same, axes), plain, changed)
