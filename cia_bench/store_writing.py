"""Write into a store: open an encoder's folder, add batches, join them to shards."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from cia_bench.build import versions
from cia_bench.errors import ConfigError, EmbeddingError, EncoderError, WriteError
from cia_bench.files import alone, whole_file, write_json
from cia_bench.store import (
    FAILED,
    RECORD,
    encoder_folder,
    made_by,
    numbers,
    other_identity,
    read_failures,
    read_record,
    refuse_other_shape,
    share_records,
    tables_of,
)
from cia_bench.tables import FAILURES, read_embeddings, read_stored, write_embeddings

logger = logging.getLogger(__name__)

DTYPES = ("float32", "float16")  # of frame sequences in shards; vectors of whole clips are float32


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


def open_folder(store: Path, description: dict, dtype: str | None = None, share: dict | None = None) -> Path:
    """The folder for an encoder (encoders.describe) in a store, made if need be.

    `dtype` is one of DTYPES; by default that of what is there, else float32. If other weights, frames, dtype or
    precision made what is there, it stays, unread, and a warning says so. `share` is what Share.record says, if the
    store is a share's.

    Raises ConfigError for an unknown dtype, EmbeddingError if the folder is another encoder's, WriteError from the
    disk.
    """
    if dtype not in (None, *DTYPES):
        raise ConfigError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    folder = encoder_folder(store, description["encoder"])
    old = read_record(folder) if (folder / RECORD).exists() else None
    there = [record["dtype"] for record in (old, *share_records(store, description["encoder"]).values()) if record]
    new = {**description, "dtype": dtype or [*there, DTYPES[0]][0]}
    if old and old["encoder"] != new["encoder"]:
        raise EmbeddingError(f"{folder} holds embeddings of {old['encoder']}, another encoder; choose another --out")
    other = other_identity(new, old) if old else []
    if other:
        logger.warning("%s: other %s than before, so its clips are embedded anew", folder, ", other ".join(other))
    same_share = old and share in (old.get("share"), {**(old.get("share") or {}), "done": False})
    if not old or other or (share and not same_share):
        _write_record(folder, {**new, "versions": versions("av", "torch")} | ({"share": share} if share else {}))
    return folder


def _write_record(folder: Path, record: dict) -> None:
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / RECORD) as part:
            write_json(part, record)


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


class ShardWriter:
    """Adds what an encoder gives to its folder: each batch is a file of its own until `finish` joins them to a shard.

    What a killed run left of a shard is gone on with where the same clips are written, and else joined as it is. All
    methods raise WriteError from the disk.
    """

    def __init__(self, folder: Path):
        self.folder, self.record = folder, read_record(folder)
        self.maker = made_by(self.record)
        self._shard: Path | None = None  # which the batches written now belong to

    def start(self, source: str, clip_ids: Iterable[str]) -> None:
        """Begin the shard of these clips, or go on with it."""
        left = self._unfinished()
        if len(left) == 1 and self._fits(*left.items(), source, clip_ids):
            (self._shard,) = left
            return
        self.finish()
        tables = tables_of(self.folder)
        number = numbers(tables[-1])[0] + 1 if tables else 0
        self._shard = self.folder / f"{source}-{number:05d}.parquet"

    def _unfinished(self) -> dict[Path, list[Path]]:
        """The batches there are of each shard."""
        left = {}
        for table in tables_of(self.folder):
            if numbers(table)[1] >= 0:
                left.setdefault(table.with_name(re.sub(r"\.[0-9]+$", "", table.stem) + ".parquet"), []).append(table)
        return left

    def _fits(self, left: tuple[Path, list[Path]], source: str, clip_ids: Iterable[str]) -> bool:
        """Whether a shard of which only batches are there can be gone on with: it is of these clips, made alike."""
        shard, batches = left
        if shard.exists() or not shard.name.startswith(f"{source}-"):
            return False
        rows = pd.concat(map(read_stored, batches))
        return set(rows.clip_id) <= set(clip_ids) and set(rows.made_by) == {self.maker}

    def add(self, rows: pd.DataFrame, embeddings: np.ndarray, failures: pd.DataFrame) -> None:
        """Write a batch of clips and those that failed; earlier failures of the same clips are forgotten.

        `rows` are as tables.STORED, but for made_by, which store.json tells. The batch appears after its failures, so
        that a killed run extracts it again.

        Raises ConfigError for vectors of whole clips where store.json says float16, EncoderError if a number is too
        large for float16.
        """
        embeddings = _in_dtype(embeddings, self.record)
        before = read_failures(self.folder)
        kept = before[~before.clip_id.isin([*rows.clip_id, *failures.clip_id])]
        with _writing(self.folder):
            if len(kept) < len(before) or len(failures):
                FAILURES.write(self.folder / FAILED, pd.concat([kept, failures], ignore_index=True))
            if len(rows):
                number = len(self._unfinished().get(self._shard, []))
                batch = self._shard.with_name(f"{self._shard.stem}.{number:04d}.parquet")
                write_embeddings(batch, rows.clip_id.tolist(), embeddings, rows.assign(made_by=self.maker))

    def finish(self) -> None:
        """Join the batches there are to shards."""
        for shard, batches in self._unfinished().items():
            with _writing(self.folder):
                if not shard.exists():  # else a run was killed while it removed what it had joined
                    _join(shard, batches)
                for batch in batches:
                    batch.unlink()

    def end(self) -> None:
        """Join the batches there are, and say of a share that it is done."""
        self.finish()
        if not self.record.get("share", {"done": True})["done"]:
            self.record["share"]["done"] = True
            _write_record(self.folder, self.record)


def _join(shard: Path, batches: list[Path]) -> None:
    rows = pd.concat([read_stored(batch) for batch in batches], ignore_index=True)
    arrays = [read_embeddings(batch)[1] for batch in batches]
    for batch, array in zip(batches, arrays, strict=True):
        refuse_other_shape(batch, array, arrays[0])
    embeddings = np.concatenate(arrays)
    latest = ~rows.clip_id.duplicated(keep="last").to_numpy(bool)
    write_embeddings(shard, rows.clip_id[latest].tolist(), embeddings[latest], rows[latest])
