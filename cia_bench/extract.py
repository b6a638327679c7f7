"""Extract embeddings: clips + videos + encoder -> store."""

import contextlib
import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cia_bench import decoding
from cia_bench.build import Data, read_data
from cia_bench.encoders import (
    Encoder,
    check_models,
    checked_embedding,
    describe,
    load_encoder,
    parse_parts,
)
from cia_bench.errors import BuildError, ConfigError, EncoderError, some
from cia_bench.files import stays_inside
from cia_bench.progress import Advance, Progress, silent
from cia_bench.store import add_shard, known_keys, locked, made_by, open_folder, read_failures
from cia_bench.tables import FAILURES, STORED

logger = logging.getLogger(__name__)

SHARD = 256  # clips
PLAIN = "videos"  # the source of the clips of a plain folder of videos
VIDEO_ENDINGS = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .ts .webm .wmv".split()
BATCH = 16  # clips that an encoder gets at once
DIGESTED = 65_536  # bytes of a video's head, middle and tail that its digest covers


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
    data: Path | None,
    out: Path,
    sources: Sequence[str] = (),
    videos: Path | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "cpu",
    progress: Progress = silent,
    retry_failed: bool = False,
    dtype: str | None = None,
) -> list[Extracted]:
    """Embed the clips of built sources with the encoders of `models`, into the store `out`; go on where a run ended.

    Without `sources`, all built sources whose videos are found (see video_folders). Without `data`, each video below
    the folder `videos` is a clip for training (see plain_clips). `weights` maps an encoder's name to its weights.
    Models and parts of models that share an encoder share its embeddings. A clip that can't be decoded becomes a
    failure. A clip is embedded or tried again once its video's content or its interval, or the encoder's weights,
    frames or dtype have changed; a failure in any case with `retry_failed`. `dtype` is how frame sequences are stored
    (see open_folder).

    Raises ConfigError for unknown models and missing video folders, EncoderError if an encoder does not load or gives
    no embedding, EmbeddingError if another process extracts into the store, WriteError from the disk.
    """
    parts = [part for model in models for part in parse_parts(model)]
    check_models(parts, weights or {})
    folders, clips = _what_to_embed(data, list(sources), videos)
    encoders = dict.fromkeys(part.encoder for part in parts)
    loaded = {name: load_encoder(name, (weights or {}).get(name), device) for name in encoders}
    with locked(out):
        stores = {name: open_folder(out, describe(name, encoder), dtype) for name, encoder in loaded.items()}
        return [
            _extract_one(name, encoder, clips, folders, stores[name], progress, retry_failed)
            for name, encoder in loaded.items()
        ]


def video_folders(data: Path, built: Data, asked: list[str], videos: Path | None) -> dict[str, Path]:
    """Where the videos of each built source are: in `videos`, else DATA/<source>/videos, else $CIA_VIDEOS/<source>.

    `videos` is the folder of the one source that is asked for or built, or else holds a folder a source. Sources whose
    folder does not exist are left out, unless they are asked for or none is left.

    Raises ConfigError that says where the videos should be.
    """
    names = built.source_names()
    root = os.environ.get("CIA_VIDEOS")
    places = {
        name: [videos if len(names) == 1 else videos / name]
        if videos
        else [data / name / "videos", *([Path(root) / name] if root else [])]
        for name in names
    }
    found = {name: next((place for place in places[name] if place.is_dir()), None) for name in names}
    missing = [name for name, place in found.items() if place is None]
    if missing and (asked or len(missing) == len(names)):
        looked = " or ".join(map(str, places[missing[0]]))
        raise ConfigError(
            f"no folder with the videos of {missing[0]} at {looked}; give --videos DIR, or set CIA_VIDEOS to a folder "
            f"that holds them in {missing[0]}/"
        )
    for name in missing:
        logger.warning("left out %s: no folder with its videos at %s", name, " or ".join(map(str, places[name])))
    return {name: place for name, place in found.items() if place is not None}


def plain_clips(videos: Path) -> pd.DataFrame:
    """A clip for each video file below a folder, by its ending: all of it, for training, its path there the clip's id.

    Columns clip_id, source, video, split, start_s and stop_s, as in tables.CLIPS. Hidden files are left out.

    Raises ConfigError if there is no video, or a path that can't be an id.
    """
    found = (path.relative_to(videos) for path in videos.rglob("*") if path.suffix.lower() in VIDEO_ENDINGS)
    names = sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise ConfigError(f"{videos} holds no video: no file there ends in {', '.join(VIDEO_ENDINGS)}")
    strange = [name for name in names if not stays_inside(name)]
    if strange:
        raise ConfigError(f"the name of {some(strange)} in {videos} can't be a clip id; rename it")
    whole = {"source": PLAIN, "split": "train", "start_s": None, "stop_s": None}
    return pd.DataFrame({"clip_id": names, "video": names}).assign(**whole)


def _what_to_embed(data: Path | None, sources: list[str], videos: Path | None) -> tuple[dict[str, Path], pd.DataFrame]:
    """The folder of videos of each source, and the clips of these sources, each once, by source and id."""
    if data is None:
        if videos is None:
            raise ConfigError("what to embed? give a data folder, or a folder of videos")
        return {PLAIN: videos}, plain_clips(videos)
    built = read_data(data, sources)
    folders = video_folders(data, built, sources, videos)
    clips = built.clips[built.clips.source.isin(folders)].drop_duplicates("clip_id").sort_values(["source", "clip_id"])
    leaving = [video for video in clips.video.unique() if not stays_inside(video)]
    if leaving:
        raise BuildError(f"video paths leave the video folder: {some(leaving)}; cia verify says more")
    return folders, clips


def _extract_one(
    name: str,
    encoder: Encoder,
    clips: pd.DataFrame,
    folders: dict[str, Path],
    store: Path,
    progress: Progress,
    retry_failed: bool,
) -> Extracted:
    known, maker = known_keys(store), made_by(store)
    digest_of = lru_cache(maxsize=None)(_video_digest)  # of this run: files may change before the next
    paths = [folders[clip.source] / clip.video for clip in clips.itertuples()]
    jobs = [_Job(clip, path, digest_of(path), maker) for clip, path in zip(clips.itertuples(), paths, strict=True)]
    again = set(read_failures(store).clip_id) if retry_failed else set()
    todo = [job for job in jobs if job.clip.clip_id in again or job.must_run(known)]
    _run(name, encoder, _shards(jobs, todo), store, progress)
    failures = read_failures(store)
    failures = failures[failures.clip_id.isin(clips.clip_id)]
    failed_now = failures.clip_id.isin([job.clip.clip_id for job in todo]).sum()
    kept = len(jobs) - len(todo) - (len(failures) - failed_now)
    return Extracted(name, store, int(len(todo) - failed_now), int(kept), failures)


class _Job:
    """One clip to embed."""

    def __init__(self, clip: Any, path: Path, content: str | None, maker: str):
        self.clip, self.path = clip, path
        whole = pd.isna(clip.start_s)
        self.interval = (None, None) if whole else (clip.start_s, clip.stop_s)
        self.key = content and hashlib.sha256(f"{content} {self.interval} {maker}".encode()).hexdigest()[:32]

    def must_run(self, known: Mapping[str, str | None]) -> bool:
        """Whether it is to be embedded, given earlier runs' keys; of a video that is gone what was stored stays."""
        clip_id = self.clip.clip_id
        return clip_id not in known if self.key is None else known.get(clip_id) != self.key

    def failed(self, reason: str) -> dict:
        return {"clip_id": self.clip.clip_id, "stage": "decode", "reason": reason, "key": self.key}

    def stored(self, times_s: np.ndarray, cut: bool) -> dict:
        about = {"clip_id": self.clip.clip_id, "key": self.key, "video": self.clip.video, "split": self.clip.split}
        return {**about, "times_s": times_s, "cut": cut}


def _video_digest(path: Path) -> str | None:
    """A digest of a file's size and of its head, middle and tail; None if it can't be read."""
    if not path.is_file():
        return None  # a named pipe would keep its reader waiting
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            for start in sorted({0, max(0, size // 2 - DIGESTED // 2), max(0, size - DIGESTED)}):
                file.seek(start)
                digest.update(file.read(DIGESTED))
    except OSError:
        return None
    return digest.hexdigest()


def _run(name: str, encoder: Encoder, shards: list[list[_Job]], store: Path, progress: Progress) -> None:
    """Embed the clips shard by shard, decoding ahead in worker processes."""
    if not shards:
        return
    todo = list(itertools.chain.from_iterable(shards))
    workers = os.cpu_count() or 1
    wanted = [decoding.Job(job.path, *job.interval, encoder.frames) for job in todo]
    ahead = decoding.decode_ahead(wanted, workers, decoding.LIMIT_S, ahead=2 * BATCH + workers)
    with progress(f"extract {name}", len(todo), "clips") as advance, contextlib.closing(ahead) as decoded:
        for shard in shards:
            clips = zip(shard, decoded, strict=False)  # the shard's own: zip asks it first
            _embed_shard(name, encoder, clips, shard[0].clip.source, store, advance)


def _shards(jobs: list[_Job], todo: list[_Job]) -> list[list[_Job]]:
    """What is to do, at most SHARD clips of one source at a time.

    Shards are cut from all jobs, so that a killed run's other shards hold the same clips when it is run again.
    """
    wanted = {job.clip.clip_id for job in todo}
    by_source = itertools.groupby(jobs, key=lambda job: job.clip.source)
    whole = itertools.chain.from_iterable(_batches(group, SHARD) for _, group in by_source)
    shards = ([job for job in shard if job.clip.clip_id in wanted] for shard in whole)
    return [shard for shard in shards if shard]


def _batches(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items; the last may be shorter."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _embed_shard(
    name: str,
    encoder: Encoder,
    decoded: Iterable[tuple[_Job, decoding.Decoded]],
    source: str,
    store: Path,
    advance: Advance,
) -> None:
    """Embed the clips of one shard, batch by batch, and add them to the store with those that failed."""
    rows, embeddings, failures = [], [], []

    def readable() -> Iterator[tuple[_Job, decoding.Decoded]]:
        for job, clip in decoded:
            if clip.failure is None:
                yield job, clip
            else:
                failures.append(job.failed(clip.failure))
                advance(1)

    for batch in _batches(readable(), BATCH):  # the same batches whether or not failures are known already
        frames = encoder.frames.values(np.stack([clip.squares for _, clip in batch]))
        embedding = checked_embedding(name, encoder.embed(frames), len(batch), encoder.frames.count)
        if embeddings and embedding.shape[1:] != embeddings[0].shape[1:]:
            raise EncoderError(f"{name} gave {embeddings[0].shape[1:]} for one clip, {embedding.shape[1:]} for another")
        embeddings.append(embedding)
        rows += [job.stored(clip.times_s, clip.cut) for job, clip in batch]
        advance(len(batch))
    add_shard(
        store,
        source,
        pd.DataFrame(rows, columns=STORED.schema.names),
        np.concatenate(embeddings) if embeddings else np.empty((0, 0), np.float32),
        pd.DataFrame(failures, columns=FAILURES.schema.names),
    )
