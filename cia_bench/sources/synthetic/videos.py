"""Keep the rendered videos of a synthetic build in their folder: whole files, each checked, none rendered twice."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from cia_bench.errors import WriteError
from cia_bench.files import missing_folders, read_json, remove_empty, sha256_of, write_json
from cia_bench.progress import Progress, silent
from cia_bench.sources.synthetic import PlannedClip
from cia_bench.sources.synthetic.render import encode, paint_frames

PART = ".part-"
MANIFEST = "rendering.json"  # in the folder: what rendered it and the SHA-256 of each file


def renderer() -> dict[str, str]:
    """What decides the bytes of a rendered clip besides its plan: our own code and the packages it stands on."""
    code = hashlib.sha256()
    for name in ("scenes.py", "motions.py", "render.py"):
        code.update(Path(__file__).with_name(name).read_bytes())
    return {"code": code.hexdigest(), **{name: version(name) for name in ("numpy", "av", "pillow")}}


def render_clip(clip: PlannedClip) -> bytes:
    """The video file of a clip: its scene's frames, in reverse order for label 0."""
    frames = paint_frames(clip.scene)
    return encode(frames if clip.label else frames[::-1], Path(clip.video).suffix)


def render_videos(
    clips: list[PlannedClip], videos: Path, versions: dict[str, str], progress: Progress = silent
) -> None:
    """Render the clips, all of one folder below `videos`, on all cores.

    Files that are there and were rendered by the same `versions` stay. A killed run leaves what it rendered in a
    scratch folder, where the next run goes on; the final folder holds all files or is not there.

    Raises WriteError, having removed what it rendered, if the disk refuses.
    """
    name = clips[0].video.split("/")[0]
    folder = videos / name
    scratch = scratch_folder(videos, name, versions)
    missing = missing_folders(videos)
    try:
        for stale in videos.glob(f"{PART}{name}-*"):
            if stale != scratch:
                shutil.rmtree(stale)
        digests = _sound_digests(clips, videos, folder / MANIFEST, versions)
        todo = [clip for clip in clips if clip.video not in digests]
        if not todo:
            return
        with progress("render synthetic", len(todo), "clips") as advance:
            for video, digest in _render_all(todo, scratch):
                digests[video] = digest
                advance(1)
        for part in scratch.rglob(f"{PART}*"):
            part.unlink()
        write_json(scratch / name / MANIFEST, {"versions": versions, "sha256": dict(sorted(digests.items()))})
        _move(scratch / name, folder)
        shutil.rmtree(scratch)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        remove_empty(missing)
        raise WriteError(f"can't render into {videos}: {error.strerror or error}; nothing was changed there") from error


def scratch_folder(videos: Path, name: str, versions: dict[str, str]) -> Path:
    """Where a rendering by these versions stands until it is whole."""
    return videos / f"{PART}{name}-{hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:16]}"


def _sound_digests(clips: list[PlannedClip], videos: Path, manifest: Path, versions: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of each clip's file that is there as these versions rendered it."""
    try:
        record = read_json(manifest, {"versions": dict, "sha256": dict})
    except ValueError:
        return {}
    if record["versions"] != versions:
        return {}
    paths = {clip.video: videos / clip.video for clip in clips}
    found = {video: sha256_of(path) for video, path in paths.items() if path.is_file()}
    return {video: digest for video, digest in found.items() if digest == record["sha256"].get(video)}


def _render_all(clips: list[PlannedClip], scratch: Path) -> Iterator[tuple[str, str]]:
    """Render into `scratch` what it lacks; yield each clip's video path and digest, in whatever order they end."""
    from joblib import Parallel, delayed

    for folder in {(scratch / clip.video).parent for clip in clips}:
        folder.mkdir(parents=True, exist_ok=True)
    workers = Parallel(n_jobs=-1, return_as="generator_unordered")
    yield from workers(delayed(_render_file)(clip, scratch / clip.video) for clip in clips)


def _render_file(clip: PlannedClip, path: Path) -> tuple[str, str]:
    if not path.exists():
        part = path.with_name(f"{PART}{os.getpid()}-{path.name}")  # a killed run's workers may end after the next began
        part.write_bytes(render_clip(clip))
        os.replace(part, path)
    return clip.video, sha256_of(path)


def _move(source: Path, folder: Path) -> None:
    """Make `folder` of `source`; if it is there already, replace its files, the manifest last."""
    if not folder.exists():
        os.replace(source, folder)
        return
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.name == MANIFEST):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
