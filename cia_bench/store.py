"""A store: what encoders gave for clips, a folder an encoder, in Parquet shards with what could not be read.

STORE/<encoder>/ holds store.json (what makes its embeddings), <source>-00000.parquet and so on (tables.STORED with the
embeddings) and failures.parquet; <source>-00001.0000.parquet and so on are batches of a shard that is being written.
A clip that stands in two shards was extracted again: the later shard counts. Rows made with other weights, frames,
dtype or precision than store.json says stay, unread, for when those are asked for again. STORE/shard-3-of-8 and the
like (see shares.py) are read with the rest as one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.errors import ConfigError, EmbeddingError
from cia_bench.files import folder_name, read_json
from cia_bench.shares import check_complete, share_folders
from cia_bench.tables import FAILURES, STORED, read_embeddings, read_stored

RECORD = "store.json"
RECORD_FIELDS = {"encoder": str, "parameters": int, "frames": dict, "dtype": str}
FAILED = "failures.parquet"
IDENTITY = {  # what fixes the numbers, and how a message calls it
    "weights_sha256": "weights or code",
    "frames": "frames",
    "dtype": "dtype",
    "precision": "precision",  # that the encoder ran in (precision.PRECISIONS)
}


@dataclass(frozen=True)
class Stored:
    """The embeddings of one encoder."""

    record: dict  # of store.json
    clips: pd.DataFrame  # columns of tables.STORED, a row an embedding
    embeddings: np.ndarray  # (N, D), or (N, T, D) for frame sequences
    failures: pd.DataFrame  # columns of tables.FAILURES


def is_store(path: Path) -> bool:
    """Whether a folder is a store."""
    return any(_records_in(path))


def _records_in(store: Path) -> Iterator[Path]:
    for part in (store, *share_folders(store)):
        yield from sorted(part.glob(f"*/{RECORD}"))


def stored_encoders(store: Path) -> list[str]:
    """The names of the encoders that a store has; raises EmbeddingError if it is none."""
    names = {read_record(path.parent)["encoder"] for path in _records_in(store)}
    if not names:
        raise EmbeddingError(f"{store} is no store of embeddings; cia extract --out {store} makes one")
    return sorted(names, key=folder_name)


def encoder_folder(store: Path, encoder: str) -> Path:
    return store / folder_name(encoder)


def read_record(folder: Path) -> dict:
    try:
        return {"precision": "float32", **read_json(folder / RECORD, RECORD_FIELDS)}  # the only one once, and not said
    except ValueError as error:
        raise EmbeddingError(f"{folder / RECORD} can't be read ({error}); delete {folder} and extract again") from error


def made_by(record: dict) -> str:
    """A digest of what fixes the numbers that a record speaks of: weights, frames, dtype and precision."""
    unsaid = ("precision", "float32")  # so that it digests as before there were others
    fixed = [record[name] for name in IDENTITY if (name, record[name]) != unsaid]
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def tables_of(folder: Path) -> list[Path]:
    """The shards of an encoder, and the batches of one that is not whole yet, in the order they were written in."""
    tables = [path for path in folder.glob("*-[0-9]*.parquet") if not path.name.startswith(".")]  # nor half-written
    return sorted(tables, key=lambda path: (numbers(path), path.name))


def numbers(table: Path) -> tuple[int, int]:
    """The number of a shard, and of a batch in it; -1 for the whole shard."""
    shard, batch = re.search(r"-([0-9]+)(?:\.([0-9]+))?$", table.stem).groups()
    return int(shard), -1 if batch is None else int(batch)


def folders_of(store: Path, encoder: str) -> list[Path]:
    """Where a store has what an encoder gave: its shares, then what was extracted besides them, which counts more.

    Shares that other weights, frames, dtype or precision made than the rest stay unread.

    Raises EmbeddingError if the shares are not complete, or were made in different ways.
    """
    rest, shares = encoder_folder(store, encoder), share_records(store, encoder)
    if (rest / RECORD).exists():
        maker = made_by(read_record(rest))
        shares = {folder: record for folder, record in shares.items() if made_by(record) == maker}
    for folder, record in shares.items():
        first, *_ = shares
        other = other_identity(record, shares[first])
        if other:
            raise EmbeddingError(
                f"{folder} was made with other {', other '.join(other)} than {first}; extract it again"
            )
    if shares:
        check_complete(store, encoder, shares)
    return [*shares, *([rest] if (rest / RECORD).exists() else [])]


def share_records(store: Path, encoder: str) -> dict[Path, dict]:
    """An encoder's folder in each share that has it, and its store.json."""
    folders = [encoder_folder(share, encoder) for share in share_folders(store)]
    return {folder: read_record(folder) for folder in folders if (folder / RECORD).exists()}


def other_identity(record: dict, before: dict) -> list[str]:
    """In what the makers of two folders differ, in words."""
    return [words for name, words in IDENTITY.items() if record.get(name) != before.get(name)]


def known_clips(folders: Iterable[Path], maker: str) -> tuple[dict[str, str | None], pd.DataFrame]:
    """The key that each clip was extracted with by this maker, or failed with, and the failures.

    Of a clip in two folders the later counts.
    """
    keys, failed = {}, {}
    for folder in folders:
        for table in tables_of(folder):
            rows = read_stored(table)
            rows = rows[rows.made_by == maker]
            keys.update(zip(rows.clip_id, rows.key, strict=True))
            for clip_id in rows.clip_id:
                failed.pop(clip_id, None)
        failures = read_failures(folder)
        keys.update(zip(failures.clip_id, failures.key, strict=True))
        failed.update(zip(failures.clip_id, failures.to_dict("records"), strict=True))
    return keys, pd.DataFrame(failed.values(), columns=FAILURES.schema.names)


def read_failures(folder: Path) -> pd.DataFrame:
    if not (folder / FAILED).exists():
        return pd.DataFrame(columns=FAILURES.schema.names)
    return FAILURES.read(folder / FAILED)


def refuse_other_shape(place: Path, found: np.ndarray, others: np.ndarray) -> None:
    if found.shape[1:] != others.shape[1:]:
        raise EmbeddingError(f"{place} holds embeddings {found.shape[1:]}, not {others.shape[1:]}")


def read_store(store: Path, encoder: str, only: Iterable[str] | None = None) -> Stored:
    """Read what a store has of an encoder, of all clips or only of those named; sequences in float16 become float32.

    Raises EmbeddingError if the store does not have the encoder, or its shards don't fit together.
    """
    have = stored_encoders(store)
    if encoder not in have:
        raise EmbeddingError(f"{store} has no embeddings of {encoder}; it has {', '.join(have)}")
    folders = folders_of(store, encoder)
    record = read_record(folders[-1])
    wanted = None if only is None else pd.Index(only)
    parts = [_read_folder(folder, made_by(record), wanted) for folder in folders]
    clips, arrays, failures = map(list, zip(*parts, strict=True))
    filled = [(folder, array) for folder, array in zip(folders, arrays, strict=True) if len(array)]
    for folder, array in filled:
        refuse_other_shape(folder, array, filled[0][1])
    return _latest(record, clips, [array for _, array in filled], failures)


def _read_folder(folder: Path, maker: str, wanted: pd.Index | None) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """What one folder has by this maker: clips, embeddings and failures, a clip in only one of them."""
    parts, arrays = [], []
    for table in tables_of(folder):
        rows = read_stored(table)
        keep = (rows.made_by == maker).to_numpy()
        if wanted is not None:
            keep = keep & rows.clip_id.isin(wanted).to_numpy()
        if not keep.any():
            continue
        _, embeddings = read_embeddings(table)
        parts.append(rows[keep])
        arrays.append(embeddings[keep].astype(np.float32, copy=False))
        refuse_other_shape(table, embeddings, arrays[0])
    failures = read_failures(folder)
    clips = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=STORED.schema.names)
    latest = ~clips.clip_id.duplicated(keep="last").to_numpy(bool)
    latest &= ~clips.clip_id.isin(failures.clip_id).to_numpy(bool)  # extracted once, and later no more
    embeddings = np.concatenate(arrays)[latest] if arrays else np.empty((0, 0), np.float32)
    return clips[latest].reset_index(drop=True), embeddings, failures


def _latest(record: dict, clips: list[pd.DataFrame], arrays: list[np.ndarray], failures: list[pd.DataFrame]) -> Stored:
    """What several folders have, as one: of a clip in two of them the later counts, embedded or failed."""
    if len(clips) == 1:
        return Stored(record, clips[0], arrays[0] if arrays else np.empty((0, 0), np.float32), failures[0])
    ids = [one.clip_id for pair in zip(clips, failures, strict=True) for one in pair]
    latest = ~pd.concat(ids, ignore_index=True).duplicated(keep="last").to_numpy(bool)
    keep = np.split(latest, np.cumsum([len(one) for one in ids])[:-1])
    return Stored(
        record,
        pd.concat([one[good] for one, good in zip(clips, keep[::2], strict=True)], ignore_index=True),
        np.concatenate(arrays)[np.concatenate(keep[::2])] if arrays else np.empty((0, 0), np.float32),
        pd.concat([one[good] for one, good in zip(failures, keep[1::2], strict=True)], ignore_index=True),
    )


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
