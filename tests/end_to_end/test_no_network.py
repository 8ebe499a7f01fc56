"""No command opens a network connection, unless the scenario asks for a data set that has to be downloaded."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosim
from cosim.cli import app

GOLDEN = Path(__file__).parents[1] / "golden"
GUARD = """
import sys

def guard(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto", "socket.bind"):
        address = arguments[-1] if event in ("socket.connect", "socket.sendto", "socket.bind") else arguments[0]
        if not isinstance(address, (str, bytes)) or event.startswith("socket.get"):
            print("NETWORK", event, arguments, file=sys.stderr, flush=True)
            sys._getframe(1)
            raise PermissionError("no network here")

sys.addaudithook(guard)
"""
"""For every Python process of a command: addresses that are texts are sockets of this machine's file system."""


@pytest.fixture
def guarded(tmp_path):
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    path = os.pathsep.join([str(tmp_path / "guard"), str(Path(cosim.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "cosim", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_a_run_with_learning_and_its_page(tmp_path, monkeypatch):
    """In this process: whoever wants to connect or to look up a name fails."""

    def refuse(*_args, **_options):
        raise AssertionError("a network connection")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["run", str(GOLDEN / "learning.yaml"), "--out", "run", "--quiet"],
        ["resume", "run", "--rounds", "4", "--quiet"],
        ["check", "--run", "run"],
        ["report", "run"],
        ["compare", "run"],
        ["export", "run", "--format", "csv"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.stderr)


@pytest.mark.full
def test_a_study_and_its_workers(guarded, tmp_path):
    (tmp_path / "study.yaml").write_text(f"{{scenario: {GOLDEN / 'learning.yaml'}, seeds: [1, 2], grid: {{allocator.kind: [kkt]}}}}")
    for arguments in (["study", "study.yaml", "--out", "out", "--workers", "2"], ["report", "out"], ["list"], ["schema"]):
        done = guarded(*arguments)
        assert (done.returncode, "NETWORK" in done.stderr) == (0, False), done.stderr


@pytest.mark.full
def test_a_data_set_that_is_asked_for(guarded, tmp_path):
    """The guard would have seen it."""
    (tmp_path / "s.yaml").write_text("{learning: {kind: federated, dataset: {kind: mnist, url: 'http://127.0.0.1:9/'}}}")
    done = guarded("run", "s.yaml", "--out", "run")
    assert done.returncode == 2
    assert "NETWORK socket." in done.stderr
    assert "Traceback" not in done.stderr
