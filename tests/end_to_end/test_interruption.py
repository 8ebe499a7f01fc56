"""A run that is told to stop: its exit code says so, and what it had recorded can be read."""

import signal
import subprocess
import sys

import pytest

import cosim


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted(number, code, tmp_path):
    (tmp_path / "long.yaml").write_text("{rounds: 100000, devices: {count: 3}, learning: {kind: none}}")
    command = [sys.executable, "-m", "cosim", "run", "long.yaml", "--out", "a"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:  # until a round is done
            if line.startswith("round "):
                break
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert f"interrupted by {number.name}" in stderr
    assert "Traceback" not in stderr
    run = cosim.Run.open(tmp_path / "a")
    assert run.manifest["status"] == "interrupted"
    assert len(run.rounds) >= 1
    run.verify(cosim.Scenario.load(tmp_path / "a" / "scenario.yaml").audit())
