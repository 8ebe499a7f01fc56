"""The manifest of a run directory, and the fingerprint that says whether two runs are the same."""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from cosim.errors import RunError
from cosim.trace.files import replace_atomically
from cosim.trace.schema import SCHEMA_VERSION, TABLE_NAMES

if TYPE_CHECKING:
    import pyarrow as pa

RunStatus: TypeAlias = Literal["running", "finished", "failed", "interrupted"]
MANIFEST_NAME: Final = "manifest.json"
_PACKAGES: Final = ("numpy", "scipy", "pandas", "pyarrow", "pydantic", "simpy", "torch")


def write_manifest(
    directory: Path | str,
    *,
    status: RunStatus,
    seed: int,
    scenario_digest: str,
    wall_times_s: Mapping[str, float],
    fingerprint: str | None = None,
) -> None:
    """Write ``manifest.json`` atomically; versions are added here.

    ``wall_times_s``: ``total`` and one entry per phase. ``fingerprint``: only of a run that came to its end.
    Raises RunError when it cannot be written.
    """
    entries = {
        "cosim_version": cosim_version(),
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "seed": seed,
        "scenario_digest": scenario_digest,
        "fingerprint": fingerprint,
        "package_versions": dict(package_versions()),
        "processor": processor_type(),
        "wall_times_s": dict(wall_times_s),
    }
    text = json.dumps(entries, indent=2, allow_nan=False) + "\n"
    replace_atomically(Path(directory) / MANIFEST_NAME, lambda draft: draft.write_text(text, encoding="utf-8"))


def read_manifest(directory: Path | str) -> dict[str, Any]:
    """The manifest as a dict. Raises RunError when there is none, it is damaged, or a newer cosim wrote it."""
    path = Path(directory) / MANIFEST_NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{directory} is not a run directory: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    schema_version = entries.get("schema_version") if isinstance(entries, dict) else None
    if not isinstance(schema_version, int) or schema_version < 1:
        raise RunError(f"{path} is damaged: it names no schema_version")
    if schema_version > SCHEMA_VERSION:
        wrote = entries.get("cosim_version")
        hint = f"read it with cosim {wrote}, or a newer one" if isinstance(wrote, str) else "read it with a newer one"
        raise RunError(f"{path} has schema version {schema_version}; this cosim ({cosim_version()}) reads up to {SCHEMA_VERSION}: {hint}")
    return dict(entries)


def cosim_version() -> str:
    """Version of this cosim; no import statement, for the root is above all layers."""
    return str(importlib.import_module("cosim").__version__)


def scenario_digest(resolved: str) -> str:
    """SHA-256 of the text of ``scenario.yaml``, hexadecimal."""
    return hashlib.sha256(resolved.encode()).hexdigest()


@cache
def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results may depend on; nothing is imported."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def processor_type() -> str:
    """Model of the processor and its vector instructions: results are the same bits on one type, given the same packages."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    described = {name.strip(): value.strip() for name, value in lines.items()}
    vector = sorted({"fma", "avx", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve"} & set(described.get("flags", "").split()))
    return f"{described.get('model name', platform.machine())} ({' '.join(vector) or 'none'})"


def fingerprint(directory: Path | str) -> str:
    """SHA-256 over the logical content of all tables: names, types and values, bit for bit.

    The same for the same rows, whatever the part boundaries and the compression; any NaN is the same NaN.
    Raises RunError when a part is damaged.
    """
    from cosim.trace.parts import part_files, read_part, table_directory

    digest = hashlib.sha256()
    for name in TABLE_NAMES:
        columns: dict[str, hashlib._Hash] = {}
        for path in part_files(table_directory(Path(directory), name)):
            part = read_part(path)
            for field in part.schema:
                columns.setdefault(f"{name}.{field.name}:{field.type}", hashlib.sha256()).update(_bytes(part[field.name]))
        for label, values in columns.items():
            digest.update(f"{label}={values.hexdigest()}\n".encode())
    return digest.hexdigest()


def _bytes(column: pa.ChunkedArray) -> bytes:
    if str(column.type) == "string":
        words = [word.encode() for word in column.to_pylist()]
        return b"".join(len(word).to_bytes(8, "little") + word for word in words)
    values = column.to_numpy()
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values)
    return bytes(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes())
