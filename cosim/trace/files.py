"""Files that are there whole or not at all: what a kill at any moment may leave behind is readable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cosim.errors import RunError


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
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
