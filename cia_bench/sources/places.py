"""Find a source's annotation files: where the user says, in $CIA_ANNOTATIONS, in the cache, or fetched into it."""

import os
from collections.abc import Callable
from pathlib import Path

from cia_bench.download import cache_folder, fetch
from cia_bench.errors import ConfigError, DownloadError
from cia_bench.progress import Progress, silent
from cia_bench.sources import load_source, source_name


def annotation_folder(
    source: str,
    cache: Path | None = None,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """The folder $CIA_ANNOTATIONS/<source> if there is one, else CACHE/<source>, after fetching what it lacks.

    Only sources whose owner allows it are fetched; `tell` gets the licence and the citation then, a line each.

    Raises ConfigError that says which files to get and where to put them; DownloadError if they can't be fetched.
    """
    module, name = load_source(source), source_name(source)
    here = local_folder(source, cache)
    release = getattr(module, "RELEASE", None)
    if here is not None and (release is None or here != cache_folder(cache) / name):
        return here
    if release is None:
        files = ", ".join(names if isinstance(names, str) else names[0] for names in module.FILES)
        raise ConfigError(
            f"the annotation files of {name} are not here: {files}; {module.WHERE}; then give --annotations DIR, or "
            f"set CIA_ANNOTATIONS to a folder that holds them in {name}/, or put them into {cache_folder(cache) / name}"
        )
    folder = cache_folder(cache) / name
    try:
        fetched = fetch(release.downloads, folder, progress)
    except DownloadError as error:
        raise DownloadError(f"{error}; by hand: {module.WHERE}; then give --annotations DIR") from error
    if fetched:
        tell(f"fetched {', '.join(fetched)} into {folder}")
        tell(f"licence: {release.licence}")
        tell(f"to cite: {release.citation}")
    return folder


def local_folder(source: str, cache: Path | None = None) -> Path | None:
    """$CIA_ANNOTATIONS/<source> if there is one, else CACHE/<source> if it has files (all, if they are downloaded)."""
    module, name = load_source(source), source_name(source)
    root = os.environ.get("CIA_ANNOTATIONS")
    if root and (Path(root) / name).is_dir():
        return Path(root) / name
    place = cache_folder(cache) / name
    files = [(names,) if isinstance(names, str) else names for names in module.FILES]
    are_here = [any((place / name).is_file() for name in names) for names in files]
    return place if (all if hasattr(module, "RELEASE") else any)(are_here) else None
