"""Where things lie in a study's directory.

    DIR/study.yaml                        the plan, resolved: a study file that needs no other file
    DIR/variant=NAME/seed=N/              run directories, finished ones only
    DIR/unfinished/                       runs that go on, were cut short or failed; the next call goes on with them, or begins anew

A run is moved to its place when it is finished, in one step, so what lies there is whole whatever was killed and when.
The names make each table of all runs one hive-partitioned Parquet data set: ``DIR/variant=*/seed=*/rounds.parquet/*.parquet``.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cosim.document import parse
from cosim.errors import CosimError, RunError, ScenarioError
from cosim.trace.files import replace_atomically
from cosim.trace.manifest import MANIFEST_NAME, cosim_version, read_manifest

STUDY_NAME: Final = "study.yaml"
UNFINISHED: Final = "unfinished"
_SWEPT: Final = ".swept-"


def run_directory(directory: Path, variant: str, seed: int) -> Path:
    """Where a finished run lies."""
    return directory / f"variant={variant}" / f"seed={seed}"


def is_finished(directory: Path) -> bool:
    """Whether a run's directory is there: it was moved there only when the run was finished."""
    return (directory / MANIFEST_NAME).is_file()


def write_plan(directory: Path, plan: dict[str, Any]) -> None:
    """Write ``study.yaml`` atomically. Raises RunError."""
    from ruamel.yaml import YAML

    yaml = YAML(pure=True)
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump(plan, text)
    replace_atomically(directory / STUDY_NAME, lambda draft: draft.write_text(text.getvalue(), encoding="utf-8"))


def read_plan(directory: Path) -> dict[str, Any]:
    """The plan in ``study.yaml`` as plain data. Raises RunError when there is none, or it is damaged."""
    path = directory / STUDY_NAME
    try:
        data = parse(path.read_text(encoding="utf-8"), str(path)).data
    except FileNotFoundError:
        raise RunError(f"{directory} is not a study's directory: it has no {STUDY_NAME}") from None
    except (OSError, ValueError, ScenarioError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict) or not {"scenario", "seeds", "variants"} <= set(data):
        raise RunError(f"{path} is damaged: it lacks scenario, seeds or variants")
    return data


@contextlib.contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """The directory, made and locked against a second call. Raises CosimError when another one works there, or it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise CosimError(f"--out {directory}: cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CosimError(f"--out {directory}: another cosim study is at work there") from error
        yield


def sweep(directory: Path) -> list[Path]:
    """Take away what an earlier call left unfinished, in one step first: its orphans then find their runs gone, and stop.

    Returns the drafts of runs that were cut short, and may be gone on with; ``clear`` takes away what is left of them.
    """
    unfinished = directory / UNFINISHED
    if unfinished.is_dir():
        unfinished.replace(Path(tempfile.mkdtemp(prefix=_SWEPT, dir=directory)))
    return [draft for draft in sorted(directory.glob(f"{_SWEPT}*/variant=*")) if _was_cut_short(draft)]


def clear(directory: Path) -> None:
    """Take away for good what ``sweep`` took away."""
    for rubbish in directory.glob(f"{_SWEPT}*"):
        shutil.rmtree(rubbish, ignore_errors=True)


def _was_cut_short(draft: Path) -> bool:
    """By a kill, not by an error: from an error a run would only come to it again."""
    try:
        manifest = read_manifest(draft)
    except RunError:
        return False
    return manifest.get("status") in ("running", "interrupted") and manifest.get("cosim_version") == cosim_version()


def new_draft(directory: Path, variant: str, seed: int) -> Path:
    """A place of its own for a run that goes on, empty."""
    (directory / UNFINISHED).mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=_prefix(variant, seed), dir=directory / UNFINISHED))
    draft.chmod(0o755)  # a temporary directory is its owner's alone, results are not
    return draft


def adopted(drafts: Sequence[Path], directory: Path, variant: str, seed: int) -> str | None:
    """The draft of this run that got furthest, at a new place of its own; None where there is none."""
    mine = [draft for draft in drafts if draft.name.startswith(_prefix(variant, seed))]
    if not mine:
        return None
    place = new_draft(directory, variant, seed)
    max(mine, key=_saved_ns).replace(place)
    return str(place)


def _prefix(variant: str, seed: int) -> str:
    return f"variant={variant}-seed={seed}-"


def _saved_ns(draft: Path) -> int:
    """When its newest checkpoint was written."""
    return max((path.stat().st_mtime_ns for path in (draft / "checkpoint").rglob("*")), default=0)
