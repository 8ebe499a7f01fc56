"""The manifest round trip, and what a fingerprint depends on."""

import json

import numpy as np
import pytest

from cosim.errors import RunError
from cosim.trace import parts
from cosim.trace.manifest import fingerprint, package_versions, read_manifest, scenario_digest, write_manifest
from cosim.trace.schema import SCHEMA_VERSION
from cosim.trace.writer import TraceWriter


def write_events(directory, *, times=(0.0, 0.5, np.nan), words=("a", "bc", ""), batches=1):
    trace = TraceWriter(directory, ["events"])
    for rows in np.array_split(np.arange(len(times)), batches):
        columns = {"t_s": np.array(times)[rows], "kind": np.array(words)[rows], "round": 0, "device": rows, "detail": ""}
        trace.append("events", columns)
        trace.flush(force=True)
    return fingerprint(directory)


def test_manifest_round_trip(tmp_path):
    write_manifest(tmp_path, status="finished", seed=7, scenario_digest="ab", wall_times_s={"total": 2.5}, fingerprint="cd")
    manifest = read_manifest(tmp_path)
    expected = {"status": "finished", "seed": 7, "scenario_digest": "ab", "wall_times_s": {"total": 2.5}, "fingerprint": "cd"}
    assert expected.items() <= manifest.items()
    assert manifest["schema_version"] == SCHEMA_VERSION
    assert manifest["package_versions"]["numpy"] == np.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_manifest_is_replaced(tmp_path):
    for status in ("running", "failed"):
        write_manifest(tmp_path, status=status, seed=0, scenario_digest="", wall_times_s={})
    assert read_manifest(tmp_path)["status"] == "failed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a run directory"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"seed": 1}', "names no schema_version"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1, "cosim_version": "9.9"}), r"cosim 9\.9"),
    ],
)
def test_unusable_manifests(tmp_path, text, message):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=message):
        read_manifest(tmp_path)


def test_manifest_in_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        write_manifest(tmp_path / "nowhere", status="failed", seed=0, scenario_digest="", wall_times_s={})


def test_scenario_digest_is_sha256():
    assert scenario_digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_versions_name_python_and_what_is_installed():
    assert {"python", "numpy", "pyarrow"} <= set(package_versions())


def test_fingerprint_is_of_the_content_alone(tmp_path, monkeypatch):
    reference = write_events(tmp_path / "a")
    assert write_events(tmp_path / "batches", batches=3) == reference
    monkeypatch.setattr(parts, "PART_ROWS", 2)
    assert write_events(tmp_path / "parts") == reference
    assert len(list((tmp_path / "parts" / "events.parquet").iterdir())) == 2


def test_fingerprint_sees_every_bit_and_any_nan_is_one(tmp_path):
    reference = write_events(tmp_path / "a")
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    assert write_events(tmp_path / "nan", times=(0.0, 0.5, other_nan)) == reference
    assert write_events(tmp_path / "bit", times=(0.0, np.nextafter(0.5, 1), np.nan)) != reference
    assert write_events(tmp_path / "words", words=("ab", "c", "")) != reference
