"""Which clips there are to embed, and the files of their videos."""

import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pandas as pd

from cia_bench.build import Data, read_data
from cia_bench.errors import BuildError, ConfigError, some
from cia_bench.files import stays_inside

logger = logging.getLogger(__name__)

PLAIN = "videos"  # the source of the clips of a plain folder of videos
VIDEO_ENDINGS = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .ts .webm .wmv".split()
DIGESTED = 65_536  # bytes of a video's head, middle and tail that its digest covers
READERS = 16  # of videos at once, to digest them: they wait for the disk


def video_places(data: Path, names: Sequence[str], videos: Path | None) -> dict[str, list[Path]]:
    """Where the videos of each source may be, what counts first at the front (see video_folders)."""
    if videos:
        return {name: [videos if len(names) == 1 else videos / name] for name in names}
    root = os.environ.get("CIA_VIDEOS")
    return {name: [data / name / "videos", *([Path(root) / name] if root else [])] for name in names}


def first_folders(places: Mapping[str, list[Path]]) -> dict[str, Path]:
    """The first place of each source that is a folder; sources without one are left out."""
    found = {name: next((place for place in listed if place.is_dir()), None) for name, listed in places.items()}
    return {name: place for name, place in found.items() if place is not None}


def video_folders(data: Path, built: Data, asked: list[str], videos: Path | None) -> dict[str, Path]:
    """Where the videos of each built source are: in `videos`, else DATA/<source>/videos, else $CIA_VIDEOS/<source>.

    `videos` is the folder of the one source that is asked for or built, or else holds a folder a source. Sources whose
    folder does not exist are left out, unless they are asked for or none is left.

    Raises ConfigError that says where the videos should be.
    """
    names = built.source_names()
    places = video_places(data, names, videos)
    found = first_folders(places)
    missing = [name for name in names if name not in found]
    if missing and (asked or len(missing) == len(names)):
        looked = " or ".join(map(str, places[missing[0]]))
        raise ConfigError(
            f"no folder with the videos of {missing[0]} at {looked}; give --videos DIR, or set CIA_VIDEOS to a folder "
            f"that holds them in {missing[0]}/"
        )
    for name in missing:
        logger.warning("left out %s: no folder with its videos at %s", name, " or ".join(map(str, places[name])))
    return found


def is_video(path: str) -> bool:
    """Whether a path ends as that of a video."""
    return os.path.splitext(path)[1].lower() in VIDEO_ENDINGS


def video_names(videos: Path) -> list[str]:
    """The paths below a folder of its video files, by their endings: sorted, with forward slashes, without hidden ones.

    Linked folders are looked into too, each folder once. Raises ConfigError if a folder can't be read.
    """
    found, seen = [], set()
    for folder, folders, files in os.walk(videos, onerror=_refuse_folder, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = Path(folder).relative_to(videos)
        start = f"{place.as_posix()}/" if place.parts else ""
        found += [start + name for name in files if is_video(name) and not name.startswith(".")]
    return sorted(found)


def _refuse_folder(error: OSError) -> NoReturn:
    raise ConfigError(f"{error.filename} can't be read: {error.strerror}") from error


def refuse_strange(names: Iterable[str], videos: Path) -> None:
    """Raise ConfigError if one of these paths below `videos` has characters that no path in a table may have."""
    strange = [name for name in names if not stays_inside(name)]
    if strange:
        raise ConfigError(f"the name of {some(strange)} in {videos} can't be a clip id; rename it")


def plain_clips(videos: Path) -> pd.DataFrame:
    """A clip for each video file below a folder, by its ending: all of it, for training, its path there the clip's id.

    Columns clip_id, source, video, split, start_s and stop_s, as in tables.CLIPS. Hidden files are left out.

    Raises ConfigError if there is no video, or a path that can't be an id.
    """
    names = video_names(videos)
    if not names:
        raise ConfigError(f"{videos} holds no video: no file there ends in {', '.join(VIDEO_ENDINGS)}")
    refuse_strange(names, videos)
    whole = {"source": PLAIN, "split": "train", "start_s": None, "stop_s": None}
    return pd.DataFrame({"clip_id": names, "video": names}).assign(**whole)


def clips_to_embed(data: Path | None, sources: list[str], videos: Path | None) -> tuple[dict[str, Path], pd.DataFrame]:
    """The folder of videos of each source, and the clips of these sources, each once, by source and id.

    Raises ConfigError, BuildError and what video_folders, plain_clips and read_data raise.
    """
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


def digest_videos(clips: pd.DataFrame, folders: Mapping[str, Path]) -> dict[tuple[str, str], str | None]:
    """A digest of each video's size, head, middle and tail, by source and video; None if it can't be read."""
    videos = iter(dict.fromkeys(zip(clips.source, clips.video, strict=True)))
    digests = {}
    with ThreadPoolExecutor(READERS) as pool:
        while some_videos := list(itertools.islice(videos, 100 * READERS)):  # of thousands, not all wait in memory
            paths = [folders[source] / video for source, video in some_videos]
            digests.update(zip(some_videos, pool.map(digest_file, paths), strict=True))
    return digests


def digest_file(path: Path) -> str | None:
    """A digest of a file's size, head, middle and tail, in hexadecimal; None if there is none or it can't be read."""
    try:
        if not path.is_file():
            return None  # a named pipe would keep its reader waiting
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            for start in sorted({0, max(0, size // 2 - DIGESTED // 2), max(0, size - DIGESTED)}):
                file.seek(start)
                digest.update(file.read(DIGESTED))
    except OSError:
        return None
    return digest.hexdigest()
