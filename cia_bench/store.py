"""A store: what encoders gave for clips, a folder an encoder, in Parquet shards with what could not be read.

STORE/<encoder>/ holds store.json (what makes its embeddings), <source>-00000.parquet and so on (tables.STORED with the
embeddings) and failures.parquet; <source>-00001.0000.parquet and so on are batches of a shard that is being written.
A clip that stands in two shards was extracted again: the later shard counts. Rows made with other weights, frames,
dtype or precision than store.json says stay, unread, for when those are asked for again. STORE/shard-3-of-8 and the
like (see shares.py) are read with the rest as one. STORE/reversed and STORE/shuffled are stores of their own, of the
same clips with their frames in another order.
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
from cia_bench.frame_order import FORWARD
from cia_bench.shares import check_complete, share_folders
from cia_bench.tables import FAILURES, STORED, read_embeddings, read_stored

RECORD = "store.json"
RECORD_FIELDS = {"encoder": str, "parameters": int, "frames": dict, "dtype": str}
FAILED = "failures.parquet"
PLACE = ("table", "row")  # where an embedding is
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


def order_folder(store: Path, order: str) -> Path:
    """The store of what encoders gave for frames in that order (frame_order.ORDERS)."""
    return store if order == FORWARD else store / order


def in_order(record: dict, order: str) -> dict:
    """The record of an encoder that gets its frames in that order: it is among what fixes its numbers."""
    return record if order == FORWARD else {**record, "frames": {**record["frames"], "order": order}}


def read_record(folder: Path) -> dict:
    try:
        unsaid = {"precision": "float32", "saw": None}  # once: the only one, and what nobody asked
        return {**unsaid, **read_json(folder / RECORD, RECORD_FIELDS)}
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


def embeds_clips(store: Path, encoder: str) -> bool:
    """Whether what a store has of an encoder is one vector a clip, and not one a frame; False if it has nothing."""
    tables = [table for folder in folders_of(store, encoder) for table in tables_of(folder)]
    return bool(tables) and read_embeddings(tables[-1])[1].ndim == 2


def refuse_other_shape(place: Path, found: np.ndarray, others: np.ndarray) -> None:
    if found.shape[1:] != others.shape[1:]:
        raise EmbeddingError(f"{place} holds embeddings {found.shape[1:]}, not {others.shape[1:]}")


def read_store(store: Path, encoder: str, only: Iterable[str] | None = None) -> Stored:
    """Read what a store has of an encoder, of all clips or only of those named; sequences in float16 become float32.

    Raises EmbeddingError if the store does not have the encoder, or its shards don't fit together.
    """
    record, rows, failures = _rows_of(store, encoder, only)
    return Stored(record, rows[STORED.schema.names], _embeddings_of(rows, np.dtype(np.float32)), failures)


def _rows_of(store: Path, encoder: str, only: Iterable[str] | None) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """The record of an encoder's store, its clips and its failures, a clip in only one of them.

    The clips' frame has the columns of STORED, and where the embedding is: `table`, a path, and `row`.
    """
    have = stored_encoders(store)
    if encoder not in have:
        raise EmbeddingError(f"{store} has no embeddings of {encoder}; it has {', '.join(have)}")
    folders = folders_of(store, encoder)
    record = read_record(folders[-1])
    wanted = None if only is None else pd.Index(only)
    parts = [_rows_in(folder, made_by(record), wanted) for folder in folders]
    ids = [one.clip_id for part in parts for one in part]
    latest = ~pd.concat(ids, ignore_index=True).duplicated(keep="last").to_numpy(bool)  # embedded or failed
    keep = np.split(latest, np.cumsum([len(one) for one in ids])[:-1])
    clips, failures = (
        pd.concat([part[kind][keep[2 * n + kind]] for n, part in enumerate(parts)], ignore_index=True)
        for kind in (0, 1)
    )
    return record, clips, failures


def _rows_in(folder: Path, maker: str, wanted: pd.Index | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips that one folder has by this maker, as _rows_of gives them, and its failures."""
    parts = []
    for table in tables_of(folder):
        rows = read_stored(table)
        rows = rows.assign(table=str(table), row=np.arange(len(rows)))
        keep = rows.made_by == maker
        parts.append(rows[keep if wanted is None else keep & rows.clip_id.isin(wanted)])
    failures = read_failures(folder)
    clips = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*STORED.schema.names, *PLACE])
    latest = ~clips.clip_id.duplicated(keep="last").to_numpy(bool)
    latest &= ~clips.clip_id.isin(failures.clip_id).to_numpy(bool)  # extracted once, and later no more
    return clips[latest], failures


def _embeddings_of(clips: pd.DataFrame, dtype: np.dtype) -> np.ndarray:
    """The embeddings of clips as _rows_of gives them, in that order and dtype; one table at a time is in memory.

    Raises EmbeddingError, naming the table, if one differs from those before it in shape.
    """
    embeddings = np.empty((0, 0), dtype)
    places, tables = pd.factorize(clips.table)  # numbers, and the paths in the order in which they come
    for number, table in enumerate(tables):
        here = np.flatnonzero(places == number)
        _, found = read_embeddings(Path(table))
        if not embeddings.size:
            embeddings = np.empty((len(clips), *found.shape[1:]), dtype)
        refuse_other_shape(Path(table), found, embeddings)
        embeddings[here] = found[clips.row.to_numpy(int)[here]]
    return embeddings


@dataclass(frozen=True)
class TrainingSet:
    """What a trainer learns from: the frame sequences of a store's training clips, without labels."""

    sequences: np.ndarray  # (N, T, D), float32 or float16 as stored
    clip_ids: list[str]
    videos: list[str]  # of each clip
    origin: dict  # what the sequences are: encoder, its weights and frames, digest of ids and numbers


def read_training(store: Path, encoder: str | None = None) -> TrainingSet:
    """Read the frame sequences of the training clips of an encoder, or of the only one that the store has.

    They stay in the dtype they are stored in, and are in memory once: 240,000 clips of 16 frames of DINOv2 ViT-S/14 in
    half precision take 2.9 GB.

    Raises ConfigError if it is not clear which encoder, EmbeddingError if there is no sequence of a training clip.
    """
    have = stored_encoders(store)
    if encoder is None and len(have) > 1:
        raise ConfigError(f"{store} has embeddings of {', '.join(have)}; choose with --encoder")
    record, clips, _ = _rows_of(store, encoder or have[0], None)
    clips = clips[clips.split == "train"]
    if clips.empty:
        raise EmbeddingError(f"{store} has no training clip of {record['encoder']}")
    sequences = _embeddings_of(clips, np.dtype(record["dtype"]))
    if sequences.ndim != 3:
        raise EmbeddingError(f"{store} has no frame sequences of {record['encoder']}, which embeds whole clips")
    digest = hashlib.sha256("\n".join(clips.clip_id).encode("utf-8", "surrogatepass"))
    digest.update(sequences)
    origin = {**{name: record[name] for name in ("encoder", *IDENTITY)}, "sequences_sha256": digest.hexdigest()}
    return TrainingSet(sequences, clips.clip_id.tolist(), clips.video.tolist(), origin)
