"""What the members of a submission hold: written plainly, and read so that no stranger's bytes can swell or run."""

import json
import math
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cia_bench.errors import SubmissionError, TableError
from cia_bench.results import PREDICTIONS_FILE
from cia_bench.submissions.archive import (
    EMBEDDINGS_FILE,
    MANIFEST_FILE,
    MEMBERS,
    open_member,
    open_zip,
    read_member,
    write_zip,
)
from cia_bench.tables import PREDICTIONS

FORMAT = "cia-bench submission 1"
MANIFEST_FIELDS = {"format": str, "files": dict, "note": str, "url": str}
NOTE_LENGTH = URL_LENGTH = 1000  # characters
ARRAYS = {"clip_ids.npy": 1 << 30, "vectors.npy": 8 << 30}  # and their largest sizes in bytes
MOST_ROWS = 1_000_000  # of predictions
TEXT_LENGTH = 400  # bytes of an id or a path in predictions
FLOATS = (np.float16, np.float32, np.float64)
TEXTS = [field.name for field in PREDICTIONS.schema if field.type == pa.string()]


def note_problem(note: str, url: str) -> str | None:
    """What is wrong with a submission's note and address, or None."""
    if len(note) > NOTE_LENGTH:
        return f"the note has {len(note):,} characters, more than {NOTE_LENGTH:,}"
    plain = url.isprintable() and " " not in url and len(url) <= URL_LENGTH
    if url and not (plain and url.startswith(("https://", "http://"))):
        return f"{url[:100]!r} is no address of a web page, like https://example.org/paper"
    return None


def read_object(archive: ZipFile, name: str, place: str) -> dict:
    """A member that is a JSON object, without NaN, infinity or broken text, so that it can be written again."""
    try:
        content = json.loads(read_member(archive, name, place).decode("utf-8"))
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"{place}: {name} can't be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SubmissionError(f"{place}: {name} is not a JSON object")
    return content


def read_manifest(archive: ZipFile, place: str) -> dict:
    manifest = read_object(archive, MANIFEST_FILE, place)
    wrong = [name for name, kind in MANIFEST_FIELDS.items() if not isinstance(manifest.get(name), kind)]
    if wrong or manifest.keys() - MANIFEST_FIELDS:
        what = f"lacks a proper {', '.join(wrong)}" if wrong else "holds more than it should"
        raise SubmissionError(f"{place}: {MANIFEST_FILE} {what}")
    if manifest["format"] != FORMAT:
        raise SubmissionError(f"{place} is of the format {manifest['format'][:100]!r}; this version reads {FORMAT!r}")
    problem = note_problem(manifest["note"], manifest["url"])
    if problem:
        raise SubmissionError(f"{place}: {problem}")
    return manifest


def read_predictions(archive: ZipFile, place: str) -> pd.DataFrame:
    """The rows of predictions.parquet (columns of tables.PREDICTIONS), sorted by their key."""
    content = pa.BufferReader(read_member(archive, PREDICTIONS_FILE, place))
    path = Path(f"{place}: {PREDICTIONS_FILE}")  # for messages
    try:
        file = pq.ParquetFile(content, read_dictionary=TEXTS)  # a long text that all rows share stays one
    except Exception as error:  # damaged bytes make pyarrow raise nearly anything, here and below
        raise SubmissionError(f"{path} can't be read as Parquet: {error}") from error
    problem = _layout_problem(file)
    if problem:
        raise SubmissionError(f"{path} {problem}")
    try:
        table = file.read()
        table.validate(full=True)
    except Exception as error:
        raise SubmissionError(f"{path} can't be read as Parquet: {error}") from error
    return _as_frame(table, path)


def _layout_problem(file: pq.ParquetFile) -> str | None:
    """What a file of predictions has that would make it large to read, or None."""
    columns = [file.schema.column(number) for number in range(len(file.schema))]
    if [column.path for column in columns] != PREDICTIONS.schema.names:
        return f"has not exactly the columns {', '.join(PREDICTIONS.schema.names)}"
    if any(column.max_repetition_level for column in columns):
        return "has lists where it should have single values"
    if file.metadata.num_rows > MOST_ROWS:
        return f"has {file.metadata.num_rows:,} rows, more than the {MOST_ROWS:,} allowed"
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    size = sum(group.column(number).total_uncompressed_size for group in groups for number in range(len(columns)))
    if size > MEMBERS[PREDICTIONS_FILE]:
        return f"unpacks to {size:,} bytes, more than the {MEMBERS[PREDICTIONS_FILE]:,} allowed"
    return None


def _as_frame(table: pa.Table, path: Path) -> pd.DataFrame:
    """The rows of predictions whose texts are still dictionaries, which are long or short by their entries alone."""
    for name in TEXTS:
        column = table.column(name)
        if not pa.types.is_dictionary(column.type):
            continue  # PREDICTIONS.select says what it is instead
        longest = max((pc.max(pc.binary_length(part.dictionary)).as_py() or 0 for part in column.chunks), default=0)
        if longest > TEXT_LENGTH:
            raise SubmissionError(f"{path} has a {name} of {longest:,} bytes, more than the {TEXT_LENGTH} allowed")
        table = table.set_column(table.schema.names.index(name), name, column.cast(column.type.value_type))
    try:
        rows = PREDICTIONS.select(table, path)
    except TableError as error:
        raise SubmissionError(str(error)) from error
    return rows.sort_values(list(PREDICTIONS.key), ignore_index=True)


def write_arrays(path: Path, clip_ids: np.ndarray, vectors: np.ndarray, scratch: Path) -> None:
    """Write embeddings as an npz, sorted by clip id, the same bytes for the same embeddings. Raises OSError."""
    order = np.argsort(clip_ids, kind="stable")
    little = vectors.dtype.newbyteorder("<")
    arrays = {"clip_ids": clip_ids[order].astype(str), "vectors": np.ascontiguousarray(vectors[order], dtype=little)}
    for name, array in arrays.items():
        with (scratch / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    write_zip(path, {name: scratch / name for name in ARRAYS})
    for name in ARRAYS:
        (scratch / name).unlink()


def read_arrays(archive: ZipFile, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Clip ids, (N,) objects, and vectors of embeddings.npz; nothing in it is unpickled."""
    place = f"{place}: {EMBEDDINGS_FILE}"
    with open_member(archive, EMBEDDINGS_FILE, place) as file, open_zip(file, place, ARRAYS, set()) as inner:
        clip_ids, vectors = (_read_array(inner, name, place) for name in ARRAYS)
    if clip_ids.dtype.kind != "U" or clip_ids.ndim != 1 or vectors.dtype not in FLOATS or vectors.ndim < 2:
        raise SubmissionError(f"{place} is not of clip ids as text and vectors of floating point numbers")
    try:
        return clip_ids.astype(object), vectors
    except ValueError as error:
        raise SubmissionError(f"{place}: a clip id is no text: {error}") from error


def _read_array(archive: ZipFile, name: str, place: str) -> np.ndarray:
    size = archive.getinfo(name).file_size
    with open_member(archive, name, place) as file:
        shape, dtype = _read_header(file, f"{place}: {name}")
        content = file.read(size + 1)
    if dtype.kind not in "Uf" or math.prod(shape) * dtype.itemsize != len(content) or not content:
        raise SubmissionError(f"{place}: {name} does not hold what its header says, {shape} of {dtype}")
    return np.frombuffer(content, dtype).reshape(shape)


def _read_header(file: IO[bytes], place: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # a damaged header makes numpy's parser raise nearly anything
        raise SubmissionError(f"{place} has no header of an array: {error}") from error
    if version != (1, 0) or by_columns or any(length < 0 for length in shape):
        raise SubmissionError(f"{place} is not an array row by row in version 1.0 of the format")
    return shape, dtype
