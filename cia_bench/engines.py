"""Take clips from their videos to embeddings, batch by batch, on this machine."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cia_bench import decoding
from cia_bench.inference import Embedder


@dataclass(frozen=True)
class Batch:
    """Clips that are decoded once for all encoders, and of each encoder which of them it embeds."""

    jobs: tuple[decoding.Job, ...]
    todo: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Outcome:
    """What became of a clip: the times of its frames, or why there are none."""

    times_s: np.ndarray | None  # float64, (T,)
    cut: bool
    failure: str | None


@dataclass(frozen=True)
class Embedded:
    """What one encoder gave for its clips of a batch."""

    outcomes: list[Outcome]
    embeddings: np.ndarray | None  # float32, (N, D) or (N, T, D), of those without a failure; None if there are none


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def embed_here(
    batches: Iterable[Batch], embedders: Mapping[str, Embedder], workers: int
) -> Iterator[dict[str, Embedded]]:
    """Yield what each encoder gave for each batch, in order; the next clips are decoded ahead in worker processes.

    Close the iterator if it may not be read to its end. Raises what the encoders raise.
    """
    batches, to_decode = itertools.tee(batches)  # the second is ahead of the first
    jobs = (job for batch in to_decode for job in batch.jobs)
    ahead = 2 * max(embedder.batch_size for embedder in embedders.values()) + workers
    with contextlib.closing(decoding.decode_ahead(jobs, workers, decoding.LIMIT_S, ahead)) as decoded:
        for batch in batches:
            clips = list(itertools.islice(decoded, len(batch.jobs)))
            yield {name: _embed(embedders[name], batch, clips, todo) for name, todo in batch.todo.items()}


def _embed(embedder: Embedder, batch: Batch, clips: Sequence[decoding.Decoded], todo: Sequence[int]) -> Embedded:
    outcomes, squares = [], []
    for number in todo:
        clip = clips[number]
        if clip.failure is not None:
            outcomes.append(Outcome(None, False, clip.failure))
            continue
        place = batch.jobs[number].wanted.index(embedder.encoder.frames.pictures)
        outcomes.append(Outcome(clip.times_s[place], clip.cut, None))
        squares.append(clip.squares[place])
    return Embedded(outcomes, embedder(np.stack(squares)) if squares else None)
