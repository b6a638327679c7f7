"""A store: what encoders gave for clips, a folder an encoder, in Parquet shards with what could not be read.

STORE/<encoder>/ holds store.json (what made the numbers), <source>-00000.parquet and so on (tables.STORED with the
embeddings) and failures.parquet. A clip that stands in two shards was extracted again: the later shard counts.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.build import versions
from cia_bench.errors import ConfigError, EmbeddingError, WriteError
from cia_bench.files import folder_name, read_json, whole_file, write_json
from cia_bench.tables import FAILURES, STORED, read_embeddings, read_stored, write_embeddings

RECORD = "store.json"
RECORD_FIELDS = {"encoder": str, "parameters": int, "frames": dict}
FAILED = "failures.parquet"
IDENTITY = {"encoder": "encoder", "weights_sha256": "weights or code", "frames": "frames"}  # which fix the numbers


@dataclass(frozen=True)
class Stored:
    """The embeddings of one encoder."""

    record: dict  # of store.json
    clips: pd.DataFrame  # columns of tables.STORED, a row an embedding
    embeddings: np.ndarray  # (N, D), or (N, T, D) for frame sequences
    failures: pd.DataFrame  # columns of tables.FAILURES


def is_store(path: Path) -> bool:
    """Whether a folder is a store."""
    return any(path.glob(f"*/{RECORD}"))


def stored_encoders(store: Path) -> list[str]:
    """The names of the encoders that a store has; raises EmbeddingError if it is none."""
    records = [_read_record(path.parent) for path in sorted(store.glob(f"*/{RECORD}"))]
    if not records:
        raise EmbeddingError(f"{store} is no store of embeddings; cia extract --out {store} makes one")
    return [record["encoder"] for record in records]


def encoder_folder(store: Path, encoder: str) -> Path:
    return store / folder_name(encoder)


def open_folder(store: Path, description: dict) -> Path:
    """The folder for an encoder (encoders.describe) in a store, made if need be.

    Raises EmbeddingError if it holds embeddings of other weights or frames, WriteError from the disk.
    """
    folder = encoder_folder(store, description["encoder"])
    if (folder / RECORD).exists():
        old = _read_record(folder)
        other = [words for name, words in IDENTITY.items() if old.get(name) != description[name]]
        if other:
            raise EmbeddingError(
                f"{folder} holds embeddings of other {', other '.join(other)}; delete it or choose another --out"
            )
        return folder
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / RECORD) as part:
            write_json(part, {**description, "versions": versions("av", "torch")})
    return folder


def _read_record(folder: Path) -> dict:
    try:
        return read_json(folder / RECORD, RECORD_FIELDS)
    except ValueError as error:
        raise EmbeddingError(f"{folder / RECORD} can't be read ({error}); delete {folder} and extract again") from error


def _shards(folder: Path) -> list[Path]:
    """The shards of an encoder, in the order in which they were written."""
    shards = [path for path in folder.glob("*-[0-9]*.parquet") if not path.name.startswith(".")]  # nor half-written
    return sorted(shards, key=lambda path: (_number(path), path.name))


def _number(shard: Path) -> int:
    return int(re.search(r"-([0-9]+)$", shard.stem)[1])


def known_keys(folder: Path) -> dict[str, str | None]:
    """The key that each clip of a folder was extracted with, or failed with."""
    keys = {}
    for shard in _shards(folder):
        rows = read_stored(shard)
        keys.update(zip(rows.clip_id, rows.key, strict=True))
    failures = read_failures(folder)
    return {**keys, **dict(zip(failures.clip_id, failures.key, strict=True))}


def read_failures(folder: Path) -> pd.DataFrame:
    if not (folder / FAILED).exists():
        return pd.DataFrame(columns=FAILURES.schema.names)
    return FAILURES.read(folder / FAILED)


def add_shard(folder: Path, source: str, rows: pd.DataFrame, embeddings: np.ndarray, failures: pd.DataFrame) -> None:
    """Write the clips that were extracted and those that failed; earlier failures of the same clips are forgotten.

    The shard appears last, so that a killed run extracts it again. Raises WriteError from the disk.
    """
    before = read_failures(folder)
    after = pd.concat([before[~before.clip_id.isin([*rows.clip_id, *failures.clip_id])], failures], ignore_index=True)
    shards = _shards(folder)
    number = _number(shards[-1]) + 1 if shards else 0
    with _writing(folder):
        if len(before) or len(failures):
            FAILURES.write(folder / FAILED, after)
        if len(rows):
            write_embeddings(folder / f"{source}-{number:05d}.parquet", rows.clip_id.tolist(), embeddings, rows)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"can't write to {folder}: {error.strerror or error}; run again to go on") from error


def read_store(store: Path, encoder: str, only: Iterable[str] | None = None) -> Stored:
    """Read what a store has of an encoder, of all clips or only of those named.

    Raises EmbeddingError if the store does not have the encoder, or its shards don't fit together.
    """
    have = stored_encoders(store)
    if encoder not in have:
        raise EmbeddingError(f"{store} has no embeddings of {encoder}; it has {', '.join(have)}")
    folder = encoder_folder(store, encoder)
    wanted = None if only is None else pd.Index(only)
    parts, arrays = [], []
    for shard in _shards(folder):
        rows, (_, embeddings) = read_stored(shard), read_embeddings(shard)
        keep = np.ones(len(rows), bool) if wanted is None else rows.clip_id.isin(wanted).to_numpy()
        parts.append(rows[keep])
        arrays.append(embeddings[keep])
        if arrays[0].shape[1:] != embeddings.shape[1:]:
            raise EmbeddingError(f"{shard} holds embeddings {embeddings.shape[1:]}, not {arrays[0].shape[1:]}")
    clips = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=STORED.schema.names)
    latest = ~clips.clip_id.duplicated(keep="last").to_numpy(bool)
    embeddings = np.concatenate(arrays)[latest] if arrays else np.empty((0, 0), np.float32)
    failures = read_failures(folder)
    clips = clips[latest].reset_index(drop=True)
    failed = clips.clip_id.isin(failures.clip_id).to_numpy(bool)  # extracted once, and later no more
    return Stored(_read_record(folder), clips[~failed].reset_index(drop=True), embeddings[~failed], failures)


@dataclass(frozen=True)
class TrainingSet:
    """What a trainer learns from: the frame sequences of a store's training clips, without labels."""

    sequences: np.ndarray  # (N, T, D)
    videos: list[str]  # of each clip
    origin: dict  # what the sequences are: encoder, its weights and frames


def read_training(store: Path, encoder: str | None = None) -> TrainingSet:
    """Read the frame sequences of the training clips of an encoder, or of the only one that the store has.

    Raises ConfigError if it is not clear which encoder, EmbeddingError if there is no sequence of a training clip.
    """
    have = stored_encoders(store)
    if encoder is None and len(have) > 1:
        raise ConfigError(f"{store} has embeddings of {', '.join(have)}; choose with --encoder")
    stored = read_store(store, encoder or have[0])
    train = (stored.clips.split == "train").to_numpy()
    if not train.any():
        raise EmbeddingError(f"{store} has no training clip of {stored.record['encoder']}")
    if stored.embeddings.ndim != 3:
        raise EmbeddingError(f"{store} has no frame sequences of {stored.record['encoder']}, which embeds whole clips")
    sequences, clips = stored.embeddings[train], stored.clips[train]
    digest = hashlib.sha256("\n".join(clips.clip_id).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(sequences))
    origin = {**{name: stored.record[name] for name in IDENTITY}, "sequences_sha256": digest.hexdigest()}
    return TrainingSet(sequences, clips.video.tolist(), origin)
