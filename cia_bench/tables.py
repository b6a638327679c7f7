"""The Parquet tables: one schema, one reader and one writer each.

pyarrow turns a missing key into null and drops an unknown one without a word, so names, types and nulls are compared
here. Writing sorts rows by their key and keeps no metadata, so identical content gives identical bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cia_bench.errors import EmbeddingError, TableError
from cia_bench.files import whole_file

SPLITS = ("train", "validation")
ROW_GROUP = 16_384  # rows that a reader of some rows has to read at least
COUNTS = ("train_forward", "train_reverse", "validation_forward", "validation_reverse")  # clips by split and label


@dataclass(frozen=True)
class Table:
    """A kind of table: its name, its columns and the columns that tell its rows apart."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]

    def read(self, path: Path) -> pd.DataFrame:
        """Read a file of this table.

        Raises TableError, with all that is wrong in one line, if it is missing or its columns are not the schema's.
        """
        return self.select(read_parquet(path), path)

    def read_where(self, path: Path, column: str, values: Sequence[str]) -> pd.DataFrame:
        """The rows of a file of this table that have one of `values` in a text column; of a sorted one, quickly.

        Raises TableError as `read` does.
        """
        wanted = [(column, "in", list(values))] if values else pc.scalar(False)
        return self.select(read_parquet(path, filters=wanted), path)

    def select(self, table: pa.Table, path: Path) -> pd.DataFrame:
        """The rows of an Arrow table read from `path`; raises TableError as `read` does."""
        problems = self._problems(table)
        if problems:
            raise TableError(f"{path} is no {self.name} table: {'; '.join(problems)}")
        return table.select(self.schema.names).cast(self.schema).to_pandas()

    def write(self, path: Path, frame: pd.DataFrame) -> None:
        """Write `frame` (its columns in any order) sorted by the key; the file appears whole or not at all.

        Raises TableError for missing, unknown or wrongly typed columns, nulls, repeated keys; OSError from the disk.
        """
        _write_parquet(path, self.to_arrow(frame))

    def to_arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Return `frame` as the rows that `write` writes: columns in order, types exact, sorted by the key."""
        problems = _name_problems(list(frame.columns), self.schema.names)
        if problems:
            raise TableError(f"not a {self.name} table: {'; '.join(problems)}")
        loose = pa.schema([field.with_nullable(True) for field in self.schema])  # nulls are ours to report
        try:
            table = pa.Table.from_pandas(frame[self.schema.names], loose, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TableError(f"not a {self.name} table: {error}") from error
        problems = self._problems(table)
        repeated = frame.duplicated(list(self.key))
        if repeated.any():
            first = tuple(frame.loc[repeated, list(self.key)].iloc[0])
            problems.append(f"{int(repeated.sum())} repeated {'+'.join(self.key)}, the first {first}")
        if problems:
            raise TableError(f"not a {self.name} table: {'; '.join(problems)}")
        table = table.replace_schema_metadata(None).cast(self.schema)
        return table.sort_by([(column, "ascending") for column in self.key])

    def _problems(self, table: pa.Table) -> list[str]:
        problems = _name_problems(table.schema.names, self.schema.names)
        for field in self.schema:
            if table.schema.names.count(field.name) != 1:
                continue
            column = table.column(field.name)
            if not _same_values(column.type, field.type):
                problems.append(f"column {field.name} is {column.type}, not {field.type}")
            elif column.null_count and not field.nullable:
                problems.append(f"column {field.name} has {column.null_count} nulls")
        return problems


def _name_problems(found: list[str], expected: list[str]) -> list[str]:
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unknown": [str(name) for name in found if name not in expected],
        "repeated": sorted({name for name in found if found.count(name) > 1}),
    }
    return [f"{kind} column {', '.join(names)}" for kind, names in kinds.items() if names]


def _same_values(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column holds the expected type in whichever form pandas writes it back.

    It writes text as large_string, and a column of nulls or empty lists with no type of its own.
    """
    if pa.types.is_null(found) or found == expected:
        return True
    if pa.types.is_list(expected) and (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return _same_values(found.value_type, expected.value_type)
    return pa.types.is_large_string(found) and pa.types.is_string(expected)


def read_parquet(path: Path, columns: list[str] | None = None, filters=None) -> pa.Table:
    """Read one Parquet file, all its columns or those of `columns` that it has; raises TableError if there is none.

    `filters` choose rows, as those of pyarrow.parquet.read_table.
    """
    if not path.is_file():
        raise TableError(f"{path} does not exist")
    try:
        table = pq.ParquetFile(path).read(columns) if filters is None else pq.read_table(path, filters=filters)
        table.validate(full=True)  # text that is not UTF-8 would fail later
    except Exception as error:  # damaged bytes make pyarrow raise nearly anything
        raise TableError(f"{path} can't be read as Parquet: {error}") from error
    return table


def _write_parquet(path: Path, table: pa.Table) -> None:
    with whole_file(path) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=ROW_GROUP)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_GROUP_COLUMNS = [
    _required("group_id", pa.string()),  # <source>/<forward>-<reverse>/<noun>
    _required("source", pa.string()),
    _required("forward", pa.string()),  # the phrase that has label 1
    _required("reverse", pa.string()),  # the phrase that has label 0
    _required("noun", pa.string()),
    pa.field("published_id", pa.string()),  # the group's id in the published CiA; null if it is not in it
    *(_required(count, pa.int32()) for count in COUNTS),
]
_HAZARDS = _required("hazards", pa.list_(pa.string()))  # machine-found reasons to look twice

GROUPS = Table(
    "groups",
    # status: why it was kept: published, accepted, imported or rendered
    pa.schema([*_GROUP_COLUMNS, _required("status", pa.string())]),
    key=("group_id",),
)
CANDIDATES = Table(
    "candidates",
    pa.schema(
        [
            *_GROUP_COLUMNS,
            _required("lexicon_row", pa.string()),  # file:row id, of what says that the phrases oppose
            _HAZARDS,
            _required("risk", pa.float64()),  # number of hazards of the group + share of clips with a hazard
            _required("ready", pa.bool_()),  # nothing about its phrases keeps it out of the review
        ]
    ),
    key=("group_id",),
)
CLIPS = Table(
    "clips",
    pa.schema(
        [
            _required("group_id", pa.string()),
            _required("clip_id", pa.string()),  # the published form; one id is one interval of one video
            _required("source", pa.string()),
            _required("video", pa.string()),  # path relative to the source's video folder, with forward slashes
            pa.field("start_s", pa.float64()),  # unrounded; null (both) for a whole file
            pa.field("stop_s", pa.float64()),
            _required("label", pa.int8()),  # 1: the group's forward action, 0: its reverse
            _required("verb", pa.string()),
            _required("noun", pa.string()),
            _required("text", pa.string()),  # the owner's caption or narration
            _required("split", pa.string()),  # train or validation, as published
            _required("strict_split", pa.string()),  # the same with no subject and no video in both
            pa.field("subject", pa.string()),  # the person who acts, where the source tells
            _HAZARDS,
        ]
    ),
    key=("group_id", "clip_id"),
)
CANDIDATE_CLIPS = Table(
    "candidate clips",
    pa.schema([field for field in CLIPS.schema if field.name not in ("strict_split", "subject")]),
    key=("group_id", "clip_id"),
)
FAILURES = Table(
    "failures",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("stage", pa.string()),  # decode
            _required("reason", pa.string()),
            pa.field("key", pa.string()),  # as in STORED; null where there is no file to make one of
        ]
    ),
    key=("clip_id", "stage"),
)
PREDICTIONS = Table(
    "predictions",
    pa.schema(
        [
            _required("group_id", pa.string()),
            _required("clip_id", pa.string()),
            _required("source", pa.string()),
            _required("video", pa.string()),  # this and the subject as in CLIPS: a mean's interval resamples them
            pa.field("subject", pa.string()),
            _required("label", pa.int8()),
            _required("constant", pa.int8()),  # the more frequent label of the group's training clips
            _required("prediction", pa.int8()),
            _required("score", pa.float64()),  # the probe's decision value: above 0 predicts label 1
        ]
    ),
    key=("group_id", "clip_id"),
)
TASK_CLIPS = Table(  # the videos of a standard benchmark: whole files
    "task clips",
    pa.schema(
        [
            _required("group_id", pa.string()),  # <source>/<number of the split>
            _required("clip_id", pa.string()),  # as the owner calls the video, wherever its file lies
            _required("source", pa.string()),  # the task
            _required("video", pa.string()),  # path relative to the folder of videos, with forward slashes
            _required("label", pa.int16()),  # number of the class, from 0
            _required("split", pa.string()),  # train or validation: what it is scored on, often called test
            pa.field("subject", pa.string()),  # what several videos were cut from, where the owner tells
        ]
    ),
    key=("group_id", "clip_id"),
)
CLASS_PREDICTIONS = Table(
    "class predictions",
    pa.schema(
        [
            *(PREDICTIONS.schema.field(name) for name in ("group_id", "clip_id", "source", "video", "subject")),
            _required("label", pa.int16()),
            _required("constant", pa.int16()),  # the most frequent class of the split's training clips
            _required("prediction", pa.int16()),
            _required("place", pa.int16()),  # of the label among the classes, by the probe's scores: 1 is the first
        ]
    ),
    key=("group_id", "clip_id"),
)


STORED = Table(  # what a shard of a store says of each clip besides its embedding
    "stored clips",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("key", pa.string()),  # digest of the video's content and the interval
            _required("made_by", pa.string()),  # digest of the weights, frames and dtype that made the embedding
            _required("video", pa.string()),
            _required("split", pa.string()),
            _required("times_s", pa.list_(pa.float64())),  # of the frames as the encoder got them, seconds in the file
            _required("cut", pa.bool_()),  # the interval's end lay beyond the file and was cut to it
        ]
    ),
    key=("clip_id",),
)


def write_embeddings(path: Path, clip_ids: list[str], vectors: np.ndarray, stored: pd.DataFrame | None = None) -> None:
    """Write embeddings sorted by clip id: columns clip_id and embedding, a fixed-shape tensor; whole or not at all.

    `vectors` is (N, D), or (N, T, D) for frame sequences, float16 or float32. `stored` (the columns of STORED, the same
    clips) adds what a store says of each clip.

    Raises EmbeddingError for another shape or dtype and for repeated ids; OSError from the disk.
    """
    if vectors.ndim not in (2, 3) or vectors.dtype not in (np.float16, np.float32):
        shape = tuple(vectors.shape)
        raise EmbeddingError(f"embeddings are float16 or float32, (N, D) or (N, T, D), not {vectors.dtype} {shape}")
    if len(clip_ids) != len(vectors) or len(set(clip_ids)) != len(clip_ids):
        raise EmbeddingError(f"{len(vectors)} embeddings need as many different clip ids, not {len(set(clip_ids))}")
    order = sorted(range(len(clip_ids)), key=clip_ids.__getitem__)
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(vectors.dtype), vectors.shape[1:])
    values = pa.array(np.ascontiguousarray(vectors[order]).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(values, int(np.prod(vectors.shape[1:])))
    columns = [pa.array([clip_ids[row] for row in order], pa.string()), pa.ExtensionArray.from_storage(kind, rows)]
    table = pa.table(columns, schema=pa.schema([_required("clip_id", pa.string()), _required("embedding", kind)]))
    if stored is not None:
        about = STORED.to_arrow(stored)
        for field in list(STORED.schema)[1:]:
            table = table.append_column(field, about.column(field.name))
    _write_parquet(path, table)


def read_stored(path: Path) -> pd.DataFrame:
    """Read what a store's shard says of its clips (columns of STORED), without their embeddings.

    Raises TableError if the file is not such a shard.
    """
    return STORED.select(read_parquet(path, STORED.schema.names), path)


def read_embeddings(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read clip ids, (N,), and embeddings, (N, D) or (N, T, D), from Parquet columns clip_id and embedding.

    The embedding is a fixed-shape tensor, as `write_embeddings` writes it, or a list of numbers, as pandas does.

    Raises EmbeddingError if a column is missing, has nulls, or rows differ in length (the row's clip id is named).
    """
    table = read_parquet(path)
    problems = _name_problems(
        [name for name in table.schema.names if name in ("clip_id", "embedding")], ["clip_id", "embedding"]
    )
    if problems:
        found = ", ".join(table.schema.names)
        raise EmbeddingError(f"{path}: {'; '.join(problems)}; its columns are {found}")
    nulls = [name for name in ("clip_id", "embedding") if table.column(name).null_count]
    if nulls:
        raise EmbeddingError(f"{path}: column {nulls[0]} has nulls; give each clip an id and an embedding")
    clip_ids = table.column("clip_id").to_pandas().to_numpy(dtype=object)
    return clip_ids, _stack_column(path, table.column("embedding").combine_chunks(), clip_ids)


def _stack_column(path: Path, column: pa.Array, clip_ids: np.ndarray) -> np.ndarray:
    """The rows of a tensor or list column as one array, its first axis the rows."""
    if not len(column):
        return np.empty((0, 0))
    if isinstance(column.type, pa.FixedShapeTensorType):
        return column.to_numpy_ndarray()
    if not (
        pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)
    ):
        raise EmbeddingError(f"{path}: column embedding is {column.type}, not a tensor or a list of numbers")
    values = column.flatten()
    lengths = pc.list_value_length(column).to_numpy()
    odd = np.flatnonzero(lengths != lengths[0])
    if len(odd):
        raise EmbeddingError(
            f"{path}: the embedding of {clip_ids[odd[0]]!r} has {lengths[odd[0]]} numbers, "
            f"that of {clip_ids[0]!r} {lengths[0]}"
        )
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise EmbeddingError(f"{path}: column embedding holds {values.type}, not only numbers")
    # pandas writes NaN within a list as null, which becomes NaN again here
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
