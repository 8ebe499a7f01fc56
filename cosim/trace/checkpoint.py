"""What a run needs to go on, in one file: named arrays, written whole or not at all, with a checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cosim.document import shown
from cosim.errors import RunError
from cosim.trace.files import make_directory, replace_atomically

CHECKPOINT_NAME: Final = "checkpoint/state.safetensors"
CHECKPOINT_VERSION: Final = 1
Arrays = dict[str, NDArray[np.generic]]


def save_checkpoint(directory: Path, arrays: Mapping[str, NDArray[np.generic]], scenario_digest: str) -> None:
    """Write ``arrays`` to DIR/checkpoint atomically. Raises RunError when it cannot be written; the old one stays."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = directory / CHECKPOINT_NAME
    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = {"version": str(CHECKPOINT_VERSION), "scenario": scenario_digest, "sha256": _digest(held)}

    def write(draft: Path) -> None:
        draft.touch()
        mode = draft.stat().st_mode
        try:
            save_file(held, draft, metadata=about)
        except SafetensorError as error:  # its words for what the system says
            raise OSError(str(error)) from error
        draft.chmod(mode)  # that of all other files; what safetensors writes is its owner's alone

    make_directory(path.parent)
    replace_atomically(path, write)


def load_checkpoint(directory: Path, scenario_digest: str) -> Arrays | None:
    """The arrays of the last checkpoint; None if there is none yet.

    Raises RunError when it is damaged, belongs to another scenario, or a newer cosim wrote it.
    """
    from safetensors import SafetensorError, safe_open

    path = directory / CHECKPOINT_NAME
    if not path.exists():
        return None
    if not os.access(path, os.R_OK):
        raise RunError(f"{path} cannot be read: permission denied")
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError, json.JSONDecodeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    version = about.get("version", "")
    if version not in map(str, range(1, CHECKPOINT_VERSION + 1)):
        newer = f"this cosim reads up to {CHECKPOINT_VERSION}; go on with the version that the manifest names"
        raise RunError(f"{path} has checkpoint version {shown(version)}: {newer}")
    if about.get("sha256") != _digest(arrays):
        raise RunError(f"{path} is damaged: its checksum does not match")
    if about.get("scenario") != scenario_digest:
        raise RunError(f"{path} belongs to another scenario than {directory / 'scenario.yaml'}: one of the two was changed")
    return arrays


def _digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
