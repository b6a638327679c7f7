"""A store: what encoders gave for clips, a folder an encoder, in Parquet shards with what could not be read.

STORE/<encoder>/ holds store.json (what makes its embeddings), <source>-00000.parquet and so on (tables.STORED with the
embeddings) and failures.parquet. A clip that stands in two shards was extracted again: the later shard counts. Rows
made with other weights, frames or another dtype than store.json says stay, unread, for when those are asked for again.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from cia_bench.build import versions
from cia_bench.errors import ConfigError, EmbeddingError, EncoderError, WriteError
from cia_bench.files import alone, folder_name, read_json, whole_file, write_json
from cia_bench.tables import FAILURES, STORED, read_embeddings, read_stored, write_embeddings

logger = logging.getLogger(__name__)

RECORD = "store.json"
RECORD_FIELDS = {"encoder": str, "parameters": int, "frames": dict, "dtype": str}
FAILED = "failures.parquet"
IDENTITY = {"weights_sha256": "weights or code", "frames": "frames", "dtype": "dtype"}  # which fix the numbers
DTYPES = ("float32", "float16")  # of frame sequences in shards; vectors of whole clips are float32


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


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Keep other processes out of a store; raises EmbeddingError if one extracts into it, WriteError from the disk."""

    def refuse() -> NoReturn:
        raise EmbeddingError(f"another process extracts into {store}; wait for its end, or choose another --out")

    with ExitStack() as held:
        with _writing(store):
            store.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(store, refuse))
        yield


def open_folder(store: Path, description: dict, dtype: str | None = None) -> Path:
    """The folder for an encoder (encoders.describe) in a store, made if need be.

    `dtype` is one of DTYPES; by default that of what is there, else float32. If other weights, frames or another dtype
    made what is there, it stays, unread, and a warning says so.

    Raises ConfigError for an unknown dtype, EmbeddingError if the folder is another encoder's, WriteError from the
    disk.
    """
    if dtype not in (None, *DTYPES):
        raise ConfigError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    folder = encoder_folder(store, description["encoder"])
    old = _read_record(folder) if (folder / RECORD).exists() else None
    description = {**description, "dtype": dtype or (old["dtype"] if old else DTYPES[0])}
    if old and old["encoder"] != description["encoder"]:
        raise EmbeddingError(f"{folder} holds embeddings of {old['encoder']}, another encoder; choose another --out")
    other = [words for name, words in IDENTITY.items() if old and old.get(name) != description[name]]
    if old and not other:
        return folder
    if other:
        logger.warning("%s: other %s than before, so its clips are embedded anew", folder, ", other ".join(other))
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


def made_by(folder: Path) -> str:
    """A digest of what fixes the numbers that store.json speaks of: weights, frames and dtype."""
    return _made_by(_read_record(folder))


def _made_by(record: dict) -> str:
    return hashlib.sha256(json.dumps([record[name] for name in IDENTITY], sort_keys=True).encode()).hexdigest()[:16]


def _shards(folder: Path) -> list[Path]:
    """The shards of an encoder, in the order in which they were written."""
    shards = [path for path in folder.glob("*-[0-9]*.parquet") if not path.name.startswith(".")]  # nor half-written
    return sorted(shards, key=lambda path: (_number(path), path.name))


def _number(shard: Path) -> int:
    return int(re.search(r"-([0-9]+)$", shard.stem)[1])


def known_keys(folder: Path) -> dict[str, str | None]:
    """The key that each clip was extracted with by what store.json says, or failed with."""
    keys, maker = {}, made_by(folder)
    for shard in _shards(folder):
        rows = read_stored(shard)
        rows = rows[rows.made_by == maker]
        keys.update(zip(rows.clip_id, rows.key, strict=True))
    failures = read_failures(folder)
    return {**keys, **dict(zip(failures.clip_id, failures.key, strict=True))}


def read_failures(folder: Path) -> pd.DataFrame:
    if not (folder / FAILED).exists():
        return pd.DataFrame(columns=FAILURES.schema.names)
    return FAILURES.read(folder / FAILED)


def add_shard(folder: Path, source: str, rows: pd.DataFrame, embeddings: np.ndarray, failures: pd.DataFrame) -> None:
    """Write the clips that were extracted and those that failed; earlier failures of the same clips are forgotten.

    `rows` are as tables.STORED, but for made_by, which store.json tells. The shard appears last, so that a killed run
    extracts it again.

    Raises ConfigError for vectors of whole clips where store.json says float16, EncoderError if a number is too large
    for float16, WriteError from the disk.
    """
    record = _read_record(folder)
    rows = rows.assign(made_by=_made_by(record))
    embeddings = _in_dtype(embeddings, record)
    before = read_failures(folder)
    after = pd.concat([before[~before.clip_id.isin([*rows.clip_id, *failures.clip_id])], failures], ignore_index=True)
    shards = _shards(folder)
    number = _number(shards[-1]) + 1 if shards else 0
    with _writing(folder):
        if len(before) or len(failures):
            FAILURES.write(folder / FAILED, after)
        if len(rows):
            write_embeddings(folder / f"{source}-{number:05d}.parquet", rows.clip_id.tolist(), embeddings, rows)


def _in_dtype(embeddings: np.ndarray, record: dict) -> np.ndarray:
    if record["dtype"] == "float32" or not len(embeddings):
        return embeddings
    if embeddings.ndim == 2:
        raise ConfigError(f"float16 is for frame sequences; {record['encoder']} gives one vector a clip, in float32")
    if np.abs(embeddings).max() > np.finfo(np.float16).max:
        raise EncoderError(f"{record['encoder']} gave numbers too large for float16; leave --dtype out")
    return embeddings.astype(np.float16)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"can't write to {folder}: {error.strerror or error}; run again to go on") from error


def read_store(store: Path, encoder: str, only: Iterable[str] | None = None) -> Stored:
    """Read what a store has of an encoder, of all clips or only of those named; sequences in float16 become float32.

    Raises EmbeddingError if the store does not have the encoder, or its shards don't fit together.
    """
    have = stored_encoders(store)
    if encoder not in have:
        raise EmbeddingError(f"{store} has no embeddings of {encoder}; it has {', '.join(have)}")
    folder = encoder_folder(store, encoder)
    wanted = None if only is None else pd.Index(only)
    record = _read_record(folder)
    maker = _made_by(record)
    parts, arrays = [], []
    for shard in _shards(folder):
        rows = read_stored(shard)
        keep = (rows.made_by == maker).to_numpy()
        if wanted is not None:
            keep = keep & rows.clip_id.isin(wanted).to_numpy()
        if not keep.any():
            continue
        _, embeddings = read_embeddings(shard)
        parts.append(rows[keep])
        arrays.append(embeddings[keep].astype(np.float32, copy=False))
        if arrays[0].shape[1:] != embeddings.shape[1:]:
            raise EmbeddingError(f"{shard} holds embeddings {embeddings.shape[1:]}, not {arrays[0].shape[1:]}")
    clips = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=STORED.schema.names)
    latest = ~clips.clip_id.duplicated(keep="last").to_numpy(bool)
    embeddings = np.concatenate(arrays)[latest] if arrays else np.empty((0, 0), np.float32)
    failures = read_failures(folder)
    clips = clips[latest].reset_index(drop=True)
    failed = clips.clip_id.isin(failures.clip_id).to_numpy(bool)  # extracted once, and later no more
    return Stored(record, clips[~failed].reset_index(drop=True), embeddings[~failed], failures)


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
    origin = {**{name: stored.record[name] for name in ("encoder", *IDENTITY)}, "sequences_sha256": digest.hexdigest()}
    return TrainingSet(sequences, clips.video.tolist(), origin)
