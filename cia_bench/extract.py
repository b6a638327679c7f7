"""Extract embeddings: clips + videos + encoder -> store."""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cia_bench import decoding
from cia_bench.clip_files import clips_to_embed, digest_videos
from cia_bench.encoders import Encoder, FrameSpec, check_models, describe, load_encoder, parse_parts
from cia_bench.engines import Batch, Embedded, Outcome, cores, embed_here
from cia_bench.errors import ConfigError
from cia_bench.frame_order import FORWARD, check_order
from cia_bench.inference import BATCH, Embedder
from cia_bench.precision import PRECISIONS
from cia_bench.progress import Advance, Progress, silent
from cia_bench.shares import Share
from cia_bench.store import encoder_folder, folders_of, in_order, known_clips, order_folder, read_failures
from cia_bench.store_writing import ShardWriter, locked, open_folder
from cia_bench.tables import FAILURES, STORED
from cia_bench.tasks.task import Task

SHARD = 256  # clips
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class ExtractionSettings:
    """How clips are embedded; only dtype, precision and order change the numbers beyond their last digits."""

    dtype: str | None = None  # of stored frame sequences, see store.open_folder
    precision: str = "float32"  # of the encoders' arithmetic, one of precision.PRECISIONS
    batch_size: int | None = None  # clips that an encoder gets at once; None: BATCH
    workers: int | None = None  # processes that decode, with ray for each device; None: one a core
    engine: str = "local"  # one of ENGINES: this machine, or a Ray cluster (see ray_engine.embed_on_ray)
    share: Share | None = None  # of the clips; None: all
    order: str = FORWARD  # in which an encoder gets a clip's frames, one of frame_order.ORDERS

    def __post_init__(self):
        check_order(self.order)
        for what, choices in (("engine", ENGINES), ("precision", PRECISIONS)):
            chosen = getattr(self, what)
            if chosen not in choices:
                raise ConfigError(f"unknown {what} {chosen!r}; choose from {', '.join(choices)}")
        for name in ("batch_size", "workers"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be 1 or more, not {number}")


@dataclass(frozen=True)
class Extracted:
    """What became of one encoder's clips."""

    encoder: str
    folder: Path
    new: int  # embeddings that this run added
    kept: int  # embeddings that were there
    failures: pd.DataFrame  # columns of tables.FAILURES, of the clips asked for


def extract(
    models: Sequence[str],
    data: Path | Task | None,
    out: Path,
    sources: Sequence[str] = (),
    videos: Path | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    progress: Progress = silent,
    retry_failed: bool = False,
    settings: ExtractionSettings = ExtractionSettings(),
    only: Iterable[str] | None = None,
) -> list[Extracted]:
    """Embed the clips of built sources with the encoders of `models`, into the store `out`; go on where a run ended.

    Without `sources`, all built sources whose videos are found (see clip_files.video_folders); of their clips `only`
    those of these ids, if it is given. Given a task in place of `data`, its videos. Without `data`, each video below
    the folder `videos` is a clip for training (see clip_files.plain_clips). `weights` maps an encoder's name to its
    weights. Models and parts of models that share an encoder share its embeddings; each clip is decoded once for all
    encoders. A clip that can't be decoded becomes a failure. A clip is embedded or tried again once its
    video's content or its interval, or the encoder's weights, frames, precision or dtype have changed; a failure in
    any case with `retry_failed`. A killed run loses at most the batch that it was embedding; with engine ray, which is
    written in order too, up to 256 clips a device. Frames in another order than forward, for time controls, go into a
    store within the store (see store.order_folder).

    Raises ConfigError for unknown models and missing video folders, EncoderError if an encoder does not load or gives
    no embedding, EmbeddingError if another process extracts into the store, WriteError from the disk.
    """
    parts = [part for model in models for part in parse_parts(model)]
    check_models(parts, weights or {})
    folders, table = data.to_embed() if isinstance(data, Task) else clips_to_embed(data, list(sources), videos)
    table = table if only is None else table[table.clip_id.isin(list(only))]
    here = "cpu" if settings.engine == "ray" else device  # with ray only to tell what each encoder is
    encoders = {
        name: load_encoder(name, (weights or {}).get(name), here)
        for name in dict.fromkeys(part.encoder for part in parts)
    }
    embed = _engine(encoders, weights or {}, device, settings)
    share, out = settings.share, order_folder(out, settings.order)
    clips = _Clips(share.of_list(table) if share else table, folders)
    place, of_store = (share.folder(out), share.record(table)) if share else (out, None)
    with locked(place):
        writers, todo, failed = {}, {}, {}
        for name, encoder in encoders.items():
            described = in_order(describe(name, encoder, settings.precision), settings.order)
            writers[name] = ShardWriter(open_folder(place, described, settings.dtype, of_store))
            todo[name], failed[name] = _todo(out, name, clips, writers[name], retry_failed)
        frames = {name: encoder.frames for name, encoder in encoders.items()}
        count = len(set().union(*todo.values()))
        if count:
            shards = _shards(clips, todo, frames, settings)
            shards, ahead = itertools.tee(shards)  # the second is ahead of the first
            answers = embed(batch for shard in ahead for _, batch in shard.batches)
            with progress(f"extract {', '.join(encoders)}", count, "clips") as advance, contextlib.closing(answers):
                _run(shards, answers, writers, advance)
        for writer in writers.values():
            writer.end()
        return [_extracted(name, clips, writer, todo[name], failed[name]) for name, writer in writers.items()]


def _engine(
    encoders: Mapping[str, Encoder], weights: Mapping[str, str], device: str, settings: ExtractionSettings
) -> Callable[[Iterable[Batch]], Iterator[dict[str, Embedded]]]:
    """What takes batches to embeddings, where the settings say."""
    size = settings.batch_size or BATCH
    if settings.engine == "ray":
        from cia_bench.ray_engine import Recipe, embed_on_ray  # refuses if Ray is not installed

        recipes = {
            name: Recipe(weights.get(name), settings.precision, size, describe(name, one))
            for name, one in encoders.items()
        }
        return partial(embed_on_ray, recipes=recipes, device=device, workers=settings.workers)
    embedders = {name: Embedder(name, one, device, settings.precision, size) for name, one in encoders.items()}
    return partial(embed_here, embedders=embedders, workers=settings.workers or cores())


def _known(out: Path, name: str, writer: ShardWriter) -> tuple[dict[str, str | None], pd.DataFrame]:
    """The keys and failures of the clips that an encoder was given before, as far as this run can rely on them."""
    rest = encoder_folder(out, name)
    is_share = writer.folder != rest
    return known_clips([rest, writer.folder] if is_share else folders_of(out, name), writer.maker)


def _todo(
    out: Path, name: str, clips: "_Clips", writer: ShardWriter, retry_failed: bool
) -> tuple[set[str], pd.DataFrame]:
    """The ids of the clips that an encoder has to embed, and the failures among the others."""
    keys, failures = _known(out, name, writer)
    again = set(failures.clip_id) if retry_failed else set()
    todo = {clip.clip_id for clip in clips if clip.clip_id in again or clip.must_run(keys, writer.maker)}
    return todo, failures[failures.clip_id.isin(clips.table.clip_id) & ~failures.clip_id.isin(todo)]


def _extracted(name: str, clips: "_Clips", writer: ShardWriter, todo: set[str], failed: pd.DataFrame) -> Extracted:
    """What became of the clips, of which those of `failed` had failed before and were left alone."""
    now = read_failures(writer.folder)
    now = now[now.clip_id.isin(todo)]
    kept = len(clips.table) - len(todo) - len(failed)
    failures = pd.concat([failed, now], ignore_index=True)
    return Extracted(name, writer.folder, len(todo) - len(now), kept, failures)


class _Clip:
    """One clip to embed."""

    def __init__(self, clip: Any, path: Path, content: str | None):
        self.clip_id, self.source, self.video, self.split = clip.clip_id, clip.source, clip.video, clip.split
        self.path, self.content = path, content
        self.interval = (None, None) if pd.isna(clip.start_s) else (clip.start_s, clip.stop_s)

    def key(self, maker: str) -> str | None:
        """A digest of all that fixes its embedding; None of a video that is gone."""
        return self.content and hashlib.sha256(f"{self.content} {self.interval} {maker}".encode()).hexdigest()[:32]

    def must_run(self, known: Mapping[str, str | None], maker: str) -> bool:
        """Whether it is to be embedded, given earlier runs' keys; of a video that is gone what was stored stays."""
        key = self.key(maker)
        return self.clip_id not in known if key is None else known.get(self.clip_id) != key

    def failed(self, maker: str, reason: str) -> dict:
        return {"clip_id": self.clip_id, "stage": "decode", "reason": reason, "key": self.key(maker)}

    def stored(self, maker: str, outcome: Outcome) -> dict:
        about = {"clip_id": self.clip_id, "key": self.key(maker), "video": self.video, "split": self.split}
        return {**about, "times_s": outcome.times_s, "cut": outcome.cut}


class _Clips:
    """The clips to embed, each made when its turn comes: of hundreds of thousands only a table is kept."""

    def __init__(self, table: pd.DataFrame, folders: Mapping[str, Path]):
        self.table, self.folders, self.content = table, folders, digest_videos(table, folders)

    def __iter__(self) -> Iterator["_Clip"]:
        for clip in self.table.itertuples():
            yield _Clip(clip, self.folders[clip.source] / clip.video, self.content[clip.source, clip.video])


@dataclass(frozen=True)
class _Shard:
    """What is to do of at most SHARD clips of one source, in batches."""

    source: str
    clip_ids: frozenset[str]  # of all its clips, done before or not
    batches: tuple[tuple[list[_Clip], Batch], ...]

    @property
    def encoders(self) -> list[str]:
        return list(dict.fromkeys(name for _, batch in self.batches for name in batch.todo))


def _shards(
    clips: Iterable[_Clip], todo: Mapping[str, set[str]], frames: Mapping[str, FrameSpec], settings: ExtractionSettings
) -> Iterator[_Shard]:
    """What is to do: of each encoder its clips of `todo`, in batches.

    Shards and batches are cut from all clips, so that those of a killed run are the same when it is run again.
    """
    size = settings.batch_size or BATCH
    by_source = itertools.groupby(clips, key=lambda clip: clip.source)
    for whole in itertools.chain.from_iterable(_batches(group, SHARD) for _, group in by_source):
        batches = [_batch(part, todo, frames, settings.order) for part in _batches(whole, size)]
        batches = tuple((part, batch) for part, batch in batches if part)
        if batches:
            yield _Shard(whole[0].source, frozenset(clip.clip_id for clip in whole), batches)


def _batch(
    clips: list[_Clip], todo: Mapping[str, set[str]], frames: Mapping[str, FrameSpec], order: str
) -> tuple[list[_Clip], Batch]:
    """Those of the clips that some encoder embeds, and the work on them."""
    wanted_by = {clip: [name for name in todo if clip.clip_id in todo[name]] for clip in clips}
    clips = [clip for clip in clips if wanted_by[clip]]
    wanted = {clip: tuple(dict.fromkeys(frames[name].pictures for name in wanted_by[clip])) for clip in clips}
    jobs = [decoding.Job(clip.path, *clip.interval, wanted[clip], order, clip.clip_id) for clip in clips]
    places = {name: tuple(n for n, clip in enumerate(clips) if name in wanted_by[clip]) for name in todo}
    return clips, Batch(tuple(jobs), {name: numbers for name, numbers in places.items() if numbers})


def _batches(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items; the last may be shorter."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _run(
    shards: Iterable[_Shard],
    answers: Iterator[dict[str, Embedded]],
    writers: Mapping[str, ShardWriter],
    advance: Advance,
) -> None:
    """Add what the encoders give for each batch to their stores."""
    for shard in shards:
        for name in shard.encoders:
            writers[name].start(shard.source, shard.clip_ids)
        for clips, batch in shard.batches:
            for name, embedded in next(answers).items():
                _add(writers[name], [clips[number] for number in batch.todo[name]], embedded)
            advance(len(clips))
        for name in shard.encoders:
            writers[name].finish()


def _add(writer: ShardWriter, clips: list[_Clip], embedded: Embedded) -> None:
    pairs = list(zip(clips, embedded.outcomes, strict=True))
    rows = [clip.stored(writer.maker, outcome) for clip, outcome in pairs if outcome.failure is None]
    failures = [clip.failed(writer.maker, outcome.failure) for clip, outcome in pairs if outcome.failure is not None]
    writer.add(
        pd.DataFrame(rows, columns=STORED.schema.names),
        np.empty((0, 0), np.float32) if embedded.embeddings is None else embedded.embeddings,
        pd.DataFrame(failures, columns=FAILURES.schema.names),
    )
