"""Read embeddings, whatever file, store or frame they come in, and check them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cia_bench.combined import RAW, check_combination, join, name_with
from cia_bench.encoders import (
    Encoder,
    ModelName,
    Summary,
    check_models,
    describe,
    load_encoder,
    load_summary,
    merge_saw,
    parse_parts,
    summary_weights,
)
from cia_bench.errors import ConfigError, EmbeddingError, EncoderError, some
from cia_bench.seen_clips import SeenClips
from cia_bench.store import Stored, read_store, stored_encoders
from cia_bench.tables import read_embeddings

FORMS = (
    "a store that cia extract wrote, a .parquet file, an .npz file with clip ids and vectors, or a folder of "
    "<clip id>.npy files"
)


@dataclass(frozen=True)
class StoredModel:
    """A model whose embeddings lie in a store, by what reads them: see load_model."""

    store: Path
    parts: tuple[ModelName, ...]
    weights: Mapping[str, str]
    device: str
    combine: str


@dataclass(frozen=True)
class Embeddings:
    """One finite vector a clip, or one a frame; ids are unique."""

    clip_ids: pd.Index  # (N,) text
    vectors: np.ndarray  # (N, D), floating point; or frame sequences, (N, T, D)
    place: str  # where they were read from, for messages
    origin: dict  # what they are, for the record: name, digest of the content, dtype, number of clips
    parameters: int | None = None  # of the model that made them, where that is known
    failures: Mapping[str, str] = field(default_factory=dict)  # clips that could not be embedded, and why
    model: StoredModel | None = None  # that reads their frames again; None: they come from a file, without frames
    saw: Mapping[str, SeenClips | None] | None = None  # by trained part; None where, or if, it is not known
    stored: tuple[pd.DataFrame, ...] = ()  # what a store tells of the clips, by part: columns of tables.STORED


def load_model(
    store: Path | str,
    model: str | None,
    weights: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    device: str = "cpu",
    combine: str = RAW,
    frames: bool = False,
) -> Embeddings:
    """Read a store and summarise its frame sequences as `model` says, for all clips or only those named.

    `model` may be None if the store has one video encoder alone. `weights` maps a summary's name, or a whole part's, to
    its weights. The vectors of a model's parts are joined as `combine` says (combined.COMBINATIONS); a clip that failed
    in one part failed. With `frames` the model is one frame encoder, and its sequences stay as they are.

    Raises ConfigError for an unknown or unfit model or combination, EmbeddingError if the store does not have it,
    EncoderError for weights that do not load.
    """
    check_combination(combine)
    store, weights = Path(store), weights or {}
    encoders = stored_encoders(store)
    if model is None and len(encoders) > 1:
        raise ConfigError(f"{store} has embeddings of {', '.join(encoders)}; choose with --model ENCODER[:SUMMARY]")
    parts = parse_parts(model or encoders[0])
    check_models(parts, weights)
    if frames:
        check_frames("+".join(map(str, parts)), combine)
    only = None if only is None else list(only)  # read once for each encoder
    read = StoredModel(store, parts, weights, device, combine)
    stored = {encoder: read_store(store, encoder, only) for encoder in dict.fromkeys(part.encoder for part in parts)}
    if frames:
        return replace(_load_frames(store, parts[0], stored[parts[0].encoder]), model=read)
    loaded = [_load_part(store, part, stored[part.encoder], weights, device) for part in parts]
    if len(parts) == 1 and combine == RAW:
        return replace(loaded[0], model=read)
    shared = Counter(part.encoder for part in parts)
    counted_again = sum((times - 1) * stored[encoder].record["parameters"] for encoder, times in shared.items())
    whole = _combine(store, loaded, combine)
    return replace(whole, parameters=sum(part.parameters for part in loaded) - counted_again, model=read)


def check_frames(model: str, combine: str) -> None:
    """Raise ConfigError unless a model is one encoder alone, whose frame sequences can be taken as they are."""
    parts = parse_parts(model)
    if len(parts) > 1 or parts[0].summary or combine != RAW:
        name = name_with(model, combine)
        raise ConfigError(f"frame sequences are of one encoder without a summary, not of {name}")


def _load_frames(store: Path, part: ModelName, stored: Stored) -> Embeddings:
    """The sequences of a frame encoder."""
    place = f"{store} ({part})"
    _refuse_nothing(place, stored)
    if stored.embeddings.ndim != 3:
        raise ConfigError(f"{place}: {part.encoder} gives one vector a clip, and no frame sequences")
    clip_ids = stored.clips.clip_id.to_numpy(dtype=object)
    return _with_origin(check_vectors(place, str(part), clip_ids, stored.embeddings, frames=True), part, stored, None)


def _load_part(store: Path, part: ModelName, stored: Stored, weights: Mapping[str, str], device: str) -> Embeddings:
    """The vectors of a model's one part."""
    place = f"{store} ({part})"
    summary = summary_of_stored(place, part, stored, weights, device)
    clip_ids = stored.clips.clip_id.to_numpy(dtype=object)
    vectors = summary(stored.embeddings, clip_ids) if summary else stored.embeddings
    loaded = check_vectors(place, str(part), clip_ids, vectors)
    return _with_origin(loaded, part, stored, summary)


def _with_origin(loaded: Embeddings, part: ModelName, stored: Stored, summary: Summary | None) -> Embeddings:
    """What made them, the encoder and the summary, if there is one; what failed; and what they saw in training.

    An encoder with parameters, or a summary with weights, is taken to be trained.
    """
    record = stored.record
    made_by = {key: record[key] for key in ("encoder", "weights_sha256", "frames", "precision", "saw")}
    summarised, parameters = None, record["parameters"]
    saw = {record["encoder"]: None} if parameters and record["saw"] is None else {}
    if summary is not None:
        summarised = {"name": part.summary, "weights_sha256": summary.weights_sha256}
        parameters += summary.parameters
        if summary.saw is not None:
            made_by["saw"] = merge_saw([record["saw"], summary.saw])
        if summary.saw_clips is not None or (summary.weights_sha256 is not None and summary.saw is None):
            saw[str(part)] = summary.saw_clips
    return replace(
        loaded,
        origin={**loaded.origin, **made_by, "summary": summarised},
        parameters=parameters,
        failures=dict(zip(stored.failures.clip_id, stored.failures.reason, strict=True)),
        saw=saw,
        stored=(stored.clips,),
    )


def summary_of_stored(
    place: str, part: ModelName, stored: Stored, weights: Mapping[str, str], device: str
) -> Summary | None:
    """The summary of a model's one part, which fits what a store has of its encoder; None if that embeds whole clips.

    Raises EmbeddingError if nothing is stored, ConfigError for a summary that is not needed or not given, EncoderError
    for one whose weights do not load or are for other sequences.
    """
    _refuse_nothing(place, stored)
    sequences = stored.embeddings.ndim == 3
    if sequences != (part.summary is not None):
        unit, wanted = ("frame", f"{part}:SUMMARY, like {part}:concat") if sequences else ("clip", part.encoder)
        raise ConfigError(f"{place}: {part.encoder} gives one vector a {unit}; give --model {wanted}")
    if part.summary is None:
        return None
    return _summary_for(stored.record, part, weights, device)


def _refuse_nothing(place: str, stored: Stored) -> None:
    if not len(stored.clips):
        raise EmbeddingError(f"{place} has no embedding of the data's clips; cia extract makes them")


def _summary_for(record: dict, part: ModelName, weights: Mapping[str, str], device: str) -> Summary:
    """A part's summary, for sequences that a store's record, or encoders.describe, speaks of."""
    summary = load_summary(part.summary, summary_weights(part, weights), device)
    refuse_other_sequences(part.summary, summary.trained_on, record)
    return summary


def load_part(part: ModelName, weights: Mapping[str, str], device: str) -> tuple[Encoder, Summary | None]:
    """The encoder of a model's one part and its summary, which was trained on no other encoder's sequences.

    Raises ConfigError for an unknown name, EncoderError for what does not load or does not fit.
    """
    check_models([part], weights)
    encoder = load_encoder(part.encoder, weights.get(part.encoder), device)
    if part.summary is None:
        return encoder, None
    return encoder, _summary_for(describe(part.encoder, encoder), part, weights, device)


def _combine(store: Path, parts: list[Embeddings], how: str) -> Embeddings:
    """The vectors of the clips that all parts have, joined; the origin holds that of each part."""
    name = name_with("+".join(part.origin["name"] for part in parts), how)
    place = f"{store} ({name})"
    ids = parts[0].clip_ids
    for part in parts[1:]:
        ids = ids[ids.isin(part.clip_ids)]
    if not len(ids):
        raise EmbeddingError(f"{place}: no clip has an embedding of each part; cia extract makes them")
    vectors = join([part.vectors[part.clip_ids.get_indexer(ids)] for part in parts], how)
    whole = check_vectors(place, name, ids.to_numpy(dtype=object), vectors)
    return replace(
        whole,
        origin={
            **whole.origin,
            "combine": how,
            "saw": merge_saw([part.origin["saw"] for part in parts]),
            "parts": [part.origin for part in parts],
        },
        failures={
            clip_id: f"{part.origin['encoder']}: {reason}"
            for part in reversed(parts)  # so that of two reasons the first part's is told
            for clip_id, reason in part.failures.items()
        },
        saw={name: seen for part in parts for name, seen in part.saw.items()},
        stored=tuple(stored for part in parts for stored in part.stored),
    )


def refuse_other_sequences(summary: str, trained_on: dict | None, record: dict) -> None:
    """Raise EncoderError if a summary was trained, on another encoder than `record` says.

    Only what `trained_on` has is compared: where released weights come from is not known to the last detail. Frame
    counts may differ, and so may dtype and precision: half precision rounds the same vectors.
    """
    if trained_on is None:
        return

    def kind(origin: dict) -> dict:
        told = {key: origin.get(key) for key in ("encoder", "weights_sha256", "frames") if key in trained_on}
        return {key: {**value, "count": None} if isinstance(value, dict) else value for key, value in told.items()}

    ours, theirs = kind(record), kind(trained_on)
    if ours != theirs:
        encoder, other = record["encoder"], theirs.get("encoder", record["encoder"])
        what = f"{other}, not {encoder}" if other != encoder else f"{encoder} with other weights or frames"
        raise EncoderError(f"these weights of {summary} were trained on the sequences of {what}; train others")


def load_embeddings(source: Path | str | pd.DataFrame | tuple) -> Embeddings:
    """Read embeddings from Parquet, an npz, a folder of npy files, a frame or a pair; from a store, see load_model.

    Parquet and a frame have the columns clip_id and embedding; a pair is clip ids (N,) and an array (N, D). An npz
    holds one array of ids (text) and one of vectors, under any names. In a folder, a clip's file is `<clip id>.npy`, in
    subfolders where the id has slashes.

    Raises EmbeddingError, naming the clip where there is one: unreadable, no or repeated ids, vectors of different
    lengths, more or less than one vector a clip, NaN or infinite numbers.
    """
    if isinstance(source, pd.DataFrame):
        return check_vectors("the frame", "unnamed", *_read_frame(source))
    if isinstance(source, tuple):
        return check_vectors("the pair", "unnamed", *_read_pair(source))
    path = Path(source)
    name = path.resolve().name
    if path.is_dir():
        return check_vectors(path, name, *_read_folder(path))
    if not path.exists():
        raise EmbeddingError(f"embeddings {path} do not exist; give {FORMS}")
    readers = {".parquet": read_embeddings, ".npz": _read_npz}
    if path.suffix not in readers:
        raise EmbeddingError(f"can't tell what {path} is by its name; give {FORMS}")
    return check_vectors(path, name.removesuffix(path.suffix), *readers[path.suffix](path))


def _read_frame(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    missing = [name for name in ("clip_id", "embedding") if name not in frame.columns]
    if missing:
        raise EmbeddingError(f"the frame of embeddings lacks column {', '.join(missing)}")
    clip_ids = frame.clip_id.to_numpy(dtype=object)
    return clip_ids, _stack("the frame", clip_ids, list(frame.embedding))


def _read_pair(pair: tuple) -> tuple[np.ndarray, np.ndarray]:
    if len(pair) != 2:
        raise EmbeddingError(f"a pair of clip ids and vectors has two parts, not {len(pair)}")
    clip_ids, vectors = np.array(list(pair[0]), dtype=object), np.asarray(pair[1])
    if vectors.dtype.kind not in "fiu" or vectors.ndim == 0:
        raise EmbeddingError(f"the pair's vectors are {vectors.dtype} {vectors.shape}, not an array of numbers (N, D)")
    return clip_ids, vectors


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        texts = {name: array.astype(object) for name, array in arrays.items() if array.dtype.kind == "U"}
    except Exception as error:  # a damaged header makes numpy's parser raise nearly anything
        raise EmbeddingError(
            f"{path} can't be read as npz without pickle: {error}; save ids as np.array(ids, dtype=str)"
        ) from error
    ids = [name for name, text in texts.items() if text.ndim == 1]
    vectors = [name for name, array in arrays.items() if array.dtype.kind in "fiu" and array.ndim > 1]
    if len(ids) != 1 or len(vectors) != 1:
        found = ", ".join(f"{name} ({array.dtype}, {array.shape})" for name, array in arrays.items()) or "nothing"
        raise EmbeddingError(
            f"{path} needs one array of clip ids (text) and one of vectors (numbers); it holds {found}"
        )
    return texts[ids[0]], arrays[vectors[0]]


def _read_folder(path: Path) -> tuple[np.ndarray, np.ndarray]:
    files = sorted(file for file in path.rglob("*.npy") if file.is_file())
    if not files:
        raise EmbeddingError(f"{path} holds no .npy file; give {FORMS}")
    clip_ids = np.array([file.relative_to(path).as_posix().removesuffix(".npy") for file in files], dtype=object)
    return clip_ids, _stack(str(path), clip_ids, [_read_npy(file) for file in files])


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:  # as in _read_npz
        raise EmbeddingError(f"{path} can't be read as npy without pickle: {error}") from error


def _stack(name: str, clip_ids: np.ndarray, vectors: list) -> np.ndarray:
    """One array from a list of equally shaped ones."""
    arrays = [np.asarray(vector) for vector in vectors]
    for clip_id, array in zip(clip_ids, arrays, strict=True):
        if array.dtype.kind not in "fiu" or array.ndim == 0:
            raise EmbeddingError(
                f"{name}: the embedding of {clip_id!r} is {array.dtype} {array.shape}, not a vector of numbers"
            )
        if array.shape != arrays[0].shape:
            first = f"that of {clip_ids[0]!r} {arrays[0].shape}"
            raise EmbeddingError(f"{name}: the embedding of {clip_id!r} has shape {array.shape}, {first}")
    return np.stack(arrays) if arrays else np.empty((0, 0))


def check_vectors(
    place: Path | str, name: str, clip_ids: np.ndarray, vectors: np.ndarray, frames: bool = False
) -> Embeddings:
    """Embeddings of ids, (N,), and as many vectors, (N, D), or, with `frames`, sequences, (N, T, D).

    Raises EmbeddingError as load_embeddings does.
    """
    if len(clip_ids) != len(vectors):
        raise EmbeddingError(f"{place} holds {len(clip_ids)} clip ids and {len(vectors)} embeddings")
    if not len(vectors):
        raise EmbeddingError(f"{place} holds no embedding")
    if vectors.ndim != (3 if frames else 2):
        shape = vectors.shape[1:]
        raise EmbeddingError(
            f"{place} holds arrays of shape {shape} a clip; make them one vector a clip, by a mean or by joining them"
        )
    if not vectors.shape[1]:
        raise EmbeddingError(f"{place} holds vectors of no numbers")
    index = pd.Index(clip_ids, dtype=object)  # pandas looks plain objects up faster than its own text type
    strange = [clip_id for clip_id in clip_ids if not isinstance(clip_id, str)]
    if strange:
        raise EmbeddingError(f"{place}: clip ids must be text, not {some(strange)}")
    if not index.is_unique:
        repeated = index[index.duplicated()].tolist()
        raise EmbeddingError(f"{place}: clip ids stand there twice: {some(repeated)}; give each clip one embedding")
    if vectors.dtype.kind != "f":
        vectors = vectors.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(
            ~np.isfinite(vectors.reshape(len(vectors), -1).sum(axis=1))
        )  # finite sums have no NaN
    broken = suspects[~np.isfinite(vectors[suspects]).all(axis=tuple(range(1, vectors.ndim)))]
    if len(broken):
        raise EmbeddingError(f"{place}: NaN or infinite numbers in the embedding of {some(index[broken].tolist())}")
    origin = {"name": name, "sha256": _content_digest(index, vectors), "dtype": str(vectors.dtype), "clips": len(index)}
    return Embeddings(index, vectors, str(place), origin)


def _content_digest(clip_ids: pd.Index, vectors: np.ndarray) -> str:
    """SHA-256 over ids and numbers in the order of ids: the same for the same embeddings in whatever file."""
    digest = hashlib.sha256(f"{vectors.dtype.newbyteorder('<').str} {vectors.shape[1]}\n".encode())
    names = clip_ids.to_numpy(dtype=object)
    vectors = np.ascontiguousarray(vectors, dtype=vectors.dtype.newbyteorder("<"))
    for row in np.argsort(names, kind="stable").tolist():
        digest.update(names[row].encode("utf-8", "surrogatepass") + b"\n")
        digest.update(vectors[row])
    return digest.hexdigest()
