"""Take a video file, or the clips of a store, to the trajectories that a model's summary makes of their frames."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cia_bench import decoding
from cia_bench.embeddings import load_part, summary_of_stored
from cia_bench.encoders import ModelName, Summary, check_models, parse_parts
from cia_bench.errors import ConfigError, DecodeError, EncoderError
from cia_bench.inference import Embedder
from cia_bench.store import read_store
from cia_bench.trajectories import measure

BATCH = 1024  # clips that are measured at once: of many, only their sequences stay in memory


@dataclass(frozen=True)
class Traced:
    """One video's frames, their vectors, and what the summary made of them."""

    video: str  # the file's name
    model: str
    pictures: np.ndarray  # uint8, (T, size, size, 3): the frames as the encoder's own crop gives them
    times_s: np.ndarray  # float64, (T,)
    sequences: np.ndarray  # float32, (1, T, D)
    trajectories: dict[str, np.ndarray]  # (1, T, E) each


def trace_video(path: Path, model: str, weights: Mapping[str, str], device: str = "cpu") -> Traced:
    """Decode a whole video as the model's encoder wants it, embed it, and trace what the summary makes of its frames.

    Raises ConfigError for a model of several parts, without a summary, or that embeds whole clips; DecodeError for the
    video; EncoderError for what does not load or gives what it should not.
    """
    part = _the_part(model)
    encoder, summary = load_part(part, weights, device)
    job = decoding.Job(path, None, None, (encoder.frames.pictures,))
    with contextlib.closing(decoding.decode_ahead([job], 1, decoding.LIMIT_S, 1)) as clips:
        (decoded,) = clips
    if decoded.failure is not None:
        raise DecodeError(decoded.failure)
    pictures, times_s = decoded.squares[0], decoded.times_s[0]
    embedding = Embedder(part.encoder, encoder, device)(pictures[None])
    _refuse_whole_clips(part, embedding)
    return Traced(path.name, str(part), pictures, times_s, embedding, _trajectories(part, summary, embedding))


def measure_store(store: Path, model: str, weights: Mapping[str, str], device: str = "cpu") -> dict[str, np.ndarray]:
    """Measure the trajectories of all clips that a store has of the model's encoder: (N,) each (trajectories.measure).

    Raises what trace_video does of models, and EmbeddingError if the store does not have the encoder.
    """
    part = _the_part(model)
    check_models([part], weights)
    stored = read_store(store, part.encoder)
    if len(stored.clips):
        _refuse_whole_clips(part, stored.embeddings)
    summary = summary_of_stored(f"{store} ({part})", part, stored, weights, device)
    measured = []
    for start in range(0, len(stored.embeddings), BATCH):
        sequences = stored.embeddings[start : start + BATCH]
        measured.append(measure(sequences, _trajectories(part, summary, sequences)))
    return {name: np.concatenate([some[name] for some in measured]) for name in measured[0]}


def _the_part(model: str) -> ModelName:
    parts = parse_parts(model)
    if len(parts) > 1:
        raise ConfigError(f"trajectories are of one model: plot the parts of {model!r} one by one")
    if parts[0].summary is None:
        raise ConfigError(f"whose trajectories? {model} has no summary; give ENCODER:SUMMARY, like pixels:lift")
    return parts[0]


def _refuse_whole_clips(part: ModelName, embeddings: np.ndarray) -> None:
    if embeddings.ndim == 2:
        raise ConfigError(f"{part.encoder} gives one vector a clip; only a frame encoder's clips have a trajectory")


def _trajectories(part: ModelName, summary: Summary, sequences: np.ndarray) -> dict[str, np.ndarray]:
    """What the summary makes of each frame; raises EncoderError unless that is finite, (N, T, E) each."""
    given = {name: np.asarray(path) for name, path in summary.trajectories(sequences).items()}
    N, T, D = sequences.shape
    for name, path in given.items():
        wanted = (N, T, D) if name == "reconstruction" else (N, T, *path.shape[2:3])
        if path.ndim != 3 or path.shape != wanted or path.dtype.kind != "f":
            letters = "(N, T, D)" if name == "reconstruction" else "(N, T, E)"
            raise EncoderError(
                f"{part.summary}'s trajectory {name!r} of sequences {sequences.shape} is {path.dtype} {path.shape}, "
                f"not floating {letters}"
            )
        if not np.isfinite(path).all():
            raise EncoderError(f"{part.summary}'s trajectory {name!r} has numbers that are NaN or infinite")
    return given
