"""Write files whole or not at all."""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from cia_bench.errors import WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: dict) -> None:
    """Write `content` as indented JSON; NaN and infinity, which JSON does not have, raise ValueError."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, fields: Mapping[str, type] | None = None) -> dict:
    """Read a JSON object that has at least `fields`, each of its type.

    Raises ValueError that says why if there is none: the file missing or unreadable, no object, a field missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    wrong = [name for name, kind in (fields or {}).items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise ValueError(f"it lacks a proper {', '.join(wrong)}")
    return content


def folder_name(name: str) -> str:
    """`name` as the name of one folder, the same on every system."""
    return re.sub(r"[^A-Za-z0-9+._-]", "_", name).lstrip(".") or "_"


def stays_inside(path: str) -> bool:
    """Whether a path is relative, with forward slashes, and never steps out of the folder it starts in."""
    parts = PurePosixPath(path)
    strange = not path.isprintable() or "\\" in path or ":" in path[:2]
    return bool(parts.parts) and not parts.is_absolute() and ".." not in parts.parts and not strange


@contextmanager
def alone(folder: Path, when_busy: Callable[[], None]) -> Iterator[None]:
    """Keep other processes that ask for it out of `folder`; if one is there, call `when_busy`, then wait for its end.

    `when_busy` may raise instead. The system frees the lock of a process that dies. The empty lock file stays: whoever
    removed it could remove another's. Where nothing can be locked (Windows, some network drives) nobody is kept out.
    """
    with (folder / ".lock").open("a") as file:
        _lock(file.fileno(), folder, when_busy)
        yield


@contextmanager
def locked_file(path: Path) -> Iterator[int]:
    """Open `path`, made if it is not there, to read and to add to its end; wait for others who have it open so.

    Gives the file's descriptor. Raises OSError.
    """
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        _lock(handle, path, lambda: None)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, place: Path, when_busy: Callable[[], None]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        when_busy()
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        logger.info("can't lock %s: %s", place, error)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well it becomes `path`, else `path` stays as it was."""
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and those of its parents that do not exist, the innermost first: what making it would make."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, up to the first that is not empty or not there."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


@contextmanager
def whole_files(folder: Path, seal: str) -> Iterator[Path]:
    """Yield a scratch folder; when the block ends well its files move into `folder`, else `folder` stays as it was.

    The file named `seal` moves last, so its presence says that the others are there. A killed run leaves at most the
    scratch folder, which the next run replaces.

    Raises WriteError for any OSError, for example a full disk.
    """
    missing = missing_folders(folder)
    scratch = folder / f".part-{seal}"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            yield scratch
            for path in sorted(scratch.iterdir(), key=lambda path: (path.name == seal, path.name)):
                os.replace(path, folder / path.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except BaseException as error:
        remove_empty(missing)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise WriteError(f"can't write to {folder}: {reason}; nothing was changed there") from error
        raise
