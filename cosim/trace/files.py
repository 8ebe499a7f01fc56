"""Files that are there whole or not at all: what a kill at any moment may leave behind is readable."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cosim.errors import RunError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a dot-named neighbour of ``path``, then put it in place; both are on disk afterwards.

    Readers see the old file or the new one. Raises RunError when it cannot be written; the old file stays.
    """
    draft = path.with_name(f".{path.name}.tmp")
    try:
        write(draft)
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    except BaseException as error:  # an interrupt, too
        with contextlib.suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def make_directory(path: Path, *, parents: bool = False) -> None:
    """Make a directory unless it is there. Raises RunError."""
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> RunError:
    """What to say when a file or directory cannot be written."""
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        return RunError(f"cannot write {path}: {path.parent} is gone; it was taken away while it was in use")
    hint = "; what was written before is readable: make room, then cosim resume" if error.errno in _FULL else ""
    return RunError(f"cannot write {path}: {error.strerror or error}{hint}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
