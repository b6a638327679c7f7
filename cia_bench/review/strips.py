"""Filmstrips of the clips of a review: decoded in worker processes, kept in memory and on disk."""

import hashlib
import json
import logging
import math
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from cia_bench.clip_files import digest_file
from cia_bench.download import cache_folder
from cia_bench.errors import CiaError, ConfigError, DecodeError, WorkerError
from cia_bench.files import stays_inside, whole_file
from cia_bench.review.filmstrip import SETTINGS, Job, Strip, render_in_worker, unpack
from cia_bench.workers import Lost, Worker, prepare

logger = logging.getLogger(__name__)

LIMIT_S = 20.0  # to decode a clip
KEPT = 200  # strips in memory, of a quarter of a megabyte each
CACHED_BYTES = 1 << 30  # on disk, when a program first writes there
SEAL_BYTES = 32  # a SHA-256 after the picture, which viewers don't mind


@dataclass(frozen=True)
class NoStrip:
    """Why a clip has no strip."""

    reason: str  # one printable line


class Strips:
    """The strips of clips, for any thread to ask for. Close it, so that its workers end."""

    def __init__(
        self, folders: Mapping[str, Path], cache: Path | None = None, workers: int = 1, limit_s: float = LIMIT_S
    ):
        """`folders` has the folder of videos of each source; a clip may take `limit_s` to decode.

        Strips are kept in the folder strips of `cache`, None: of the place for downloads (download.cache_folder).
        """
        self.folders, self.limit_s = dict(folders), limit_s
        self.pictures = _Pictures(cache_folder(cache) / "strips")
        self.strips: OrderedDict[tuple, Future] = OrderedDict()  # by clip; the one asked for last is at the end
        self.lock = threading.Lock()  # of `strips`
        self.stopped = threading.Event()
        self.crew = [Worker(render_in_worker, self.stopped) for _ in range(workers)]
        self.idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one that worked last first: it is already up
        for worker in self.crew:
            self.idle.put(worker)
        prepare()

    def cached(self, clip) -> Strip | NoStrip | None:
        """What `load` would return at once, without a look at the disk, else None."""
        key = _key(clip)
        with self.lock:
            future = self.strips.get(key)
            if future is None or not future.done():
                return None
            self.strips.move_to_end(key)
        return future.result()

    def load(self, clip) -> Strip | NoStrip:
        """The strip of a clip, or why there is none. Waits for those before it, each up to `limit_s`.

        A clip has a source, a video (its path in the source's folder), start_s and stop_s (None or NaN: all of it).
        """
        key = _key(clip)
        with self.lock:
            known = key in self.strips
            future = self.strips.setdefault(key, Future())
            self.strips.move_to_end(key)
            if len(self.strips) > KEPT:
                self.strips.popitem(last=False)
        if not known:
            self._fulfil(future, key)
        return future.result()

    def _fulfil(self, future: Future, key: tuple) -> None:
        """Make the strip that others may be waiting for; the lack of a worker may pass and is not remembered."""
        try:
            future.set_result(self._make(*key))
        except WorkerError as error:
            with self.lock:
                self.strips.pop(key, None)
            future.set_result(NoStrip(str(error)))
        except CiaError as error:
            future.set_result(NoStrip(str(error)))
        except BaseException as error:
            future.set_exception(error)

    def _make(self, source: str, video: str, start_s: float | None, stop_s: float | None) -> Strip:
        """Find a strip on disk, or have it decoded. Raises CiaError if there is none."""
        path = self._path(source, video)
        digest = digest_file(path)
        if digest is None:
            raise DecodeError(f"{path} is missing or can't be read")
        name = hashlib.sha256(json.dumps([digest, start_s, stop_s, SETTINGS]).encode()).hexdigest() + ".jpg"
        picture = self.pictures.read(name)
        if picture is None:
            picture = self._render(Job(path, start_s, stop_s))
            self.pictures.write(name, picture)
        return unpack(picture)

    def _path(self, source: str, video: str) -> Path:
        if source not in self.folders:
            raise ConfigError(
                f"no folder with the videos of {source}: give --videos DIR, put them into DATA/{source}/videos, or set "
                f"CIA_VIDEOS to a folder that holds them in {source}/"
            )
        if not stays_inside(video):
            raise ConfigError(f"the path {video!r} leaves the folder of videos")
        return self.folders[source] / video

    def _render(self, job: Job) -> bytes:
        """The picture of a clip from the next idle worker.

        Raises DecodeError, and WorkerError if no worker can be started or all were ended.
        """
        worker = self.idle.get()
        try:
            answer = worker.call(job, self.limit_s)
        except MemoryError as error:
            raise DecodeError(f"{job.path} needs more memory to decode than there is") from error
        except OSError as error:
            raise WorkerError(f"a worker process can't be started: {error}") from error
        finally:
            self.idle.put(worker)
        if not isinstance(answer, Lost):
            return answer
        if self.stopped.is_set():
            raise WorkerError("the workers were ended")
        raise answer.while_decoding(job.path, self.limit_s)

    def close(self) -> None:
        """End the workers, in the middle of a clip if need be: whoever waits for it gets a NoStrip."""
        self.stopped.set()
        for worker in self.crew:
            worker.kill()
        for worker in [self.idle.get() for _ in self.crew]:  # each is there once its call has returned
            worker.close()
            self.idle.put(worker)  # for those who still wait for one


class _Pictures:
    """Pictures of strips in a folder, each whole or not there; where none can be written, none are kept."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.bounded = False

    def read(self, name: str) -> bytes | None:
        """A picture, None if it is missing or damaged."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            return None
        picture, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
        return picture if hashlib.sha256(picture).digest() == seal else None

    def write(self, name: str, picture: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.bounded:
                self.bounded = True
                self._bound()
            with whole_file(self.folder / name) as part:
                part.write_bytes(picture + hashlib.sha256(picture).digest())
        except OSError as error:
            logger.info("can't keep a strip in %s: %s", self.folder, error)

    def _bound(self) -> None:
        """Remove the pictures written first, while all have more than CACHED_BYTES."""
        found = [(file.stat(), file.path) for file in os.scandir(self.folder) if file.name.endswith(".jpg")]
        excess = sum(stat.st_size for stat, _ in found) - CACHED_BYTES
        for stat, path in sorted(found, key=lambda pair: pair[0].st_mtime_ns):
            if excess <= 0:
                return
            os.unlink(path)
            excess -= stat.st_size


def _key(clip) -> tuple[str, str, float | None, float | None]:
    return clip.source, clip.video, _seconds(clip.start_s), _seconds(clip.stop_s)


def _seconds(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
