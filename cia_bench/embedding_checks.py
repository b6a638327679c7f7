"""Refuse embeddings that are not of the data's clips, and say which are no clip's own."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from cia_bench.embeddings import Embeddings
from cia_bench.errors import BuildError, EmbeddingError, some

ZEROS = "its embedding is all zeros"  # a reason to have failed
SLACK_S = 1e-6  # float noise of a time
SHARED = 3  # clips with one vector are told: two may be one interval under two ids


def refuse_other_clips(embeddings: Embeddings, clips: pd.DataFrame) -> None:
    """Raise EmbeddingError for clips that `clips` lacks, or that a store took from another video or interval.

    The latter is so once the data were built anew, with the same ids for other clips. An interval that grew is not
    noticed. Raises BuildError without any clip.
    """
    if not len(clips):
        raise BuildError("the data has no clip to score")
    everywhere = set(clips.clip_id.to_numpy(object))  # pandas takes long to ask text of its own type for many values
    strange = [clip_id for clip_id in embeddings.clip_ids if clip_id not in everywhere]
    if strange:
        example = f"a clip id there looks like {clips.clip_id.iloc[0]!r}"
        raise EmbeddingError(f"{embeddings.place}: the data has no clip {some(strange)}; {example}")
    for stored in embeddings.stored:
        known = clips.drop_duplicates("clip_id").set_index("clip_id")[["video", "start_s", "stop_s"]]
        both = stored[["clip_id", "video", "times_s"]].merge(known, left_on="clip_id", right_index=True)
        other = both.clip_id[both.video_x != both.video_y].tolist()
        moved = [clip.clip_id for clip in both.itertuples() if _is_outside(clip.times_s, clip.start_s, clip.stop_s)]
        for ids, what in ((other, "another video"), (moved, "another interval")):
            if ids:
                raise EmbeddingError(
                    f"{embeddings.place} embedded {some(ids)} from {what} than the data say; extract again, or score "
                    "it on the data it was extracted for"
                )


def _is_outside(times_s: np.ndarray, start_s: float, stop_s: float) -> bool:
    """Whether frames lie outside an interval; one frame alone may, being on display when it starts."""
    first, last = min(times_s), max(times_s)
    return first < last and (first < start_s - SLACK_S or last > stop_s + SLACK_S)  # never of a whole file: NaN


def without_zeros(embeddings: Embeddings) -> Embeddings:
    """Count a vector of zeros as failed: it stands for a clip that could not be embedded, and says nothing of it.

    A vector of one number may be 0.
    """
    numbers = embeddings.vectors.reshape(len(embeddings.vectors), -1)
    zero = (numbers[:, 0] == 0) & (numbers.shape[1] > 1)
    zero[zero] = ~numbers[zero].any(axis=1)
    if not zero.any():
        return embeddings
    ids = embeddings.clip_ids
    failures = {**embeddings.failures, **dict.fromkeys(ids[zero], ZEROS)}
    return replace(embeddings, clip_ids=ids[~zero], vectors=embeddings.vectors[~zero], failures=failures)


def shared_vectors(embeddings: Embeddings) -> pd.Index:
    """The ids of the clips whose vector at least SHARED clips have, to the last bit."""
    vectors = embeddings.vectors
    numbers = vectors.reshape(len(vectors), -1)
    some_of_each = numbers[:, :: max(1, numbers.shape[1] // 16)]
    sums = some_of_each.sum(axis=1, dtype=np.float64)  # a quick look before each is digested
    _, number, count = np.unique(sums, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(count[number] >= SHARED)
    digests = [hashlib.blake2b(np.ascontiguousarray(vectors[row]), digest_size=16).digest() for row in suspects]
    counts = Counter(digests)
    same = [row for row, digest in zip(suspects, digests, strict=True) if counts[digest] >= SHARED]
    return embeddings.clip_ids[same]


def refuse_one_vector(embeddings: Embeddings, source: str, clips: pd.DataFrame) -> None:
    """Raise EmbeddingError if all embedded clips of a source have the same vector."""
    rows = clips.row[clips.embedded].unique()
    first = embeddings.vectors[rows[:1]]
    if len(rows) > 1 and all((embeddings.vectors[row] == first).all() for row in rows[1:]):
        raise EmbeddingError(
            f"{embeddings.place}: all {len(rows):,} clips of {source} have the same vector, from which nothing can be "
            "learnt; look at what the model gets"
        )
