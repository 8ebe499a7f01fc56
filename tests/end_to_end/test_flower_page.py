"""The example of docs/flower.md, as a reader would run it, against the real package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import cosim
from cosim.cli import app

pytest.importorskip("flwr")
pytestmark = pytest.mark.flower
PAGE = (Path(__file__).parents[2] / "docs/flower.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    for language, name in (("python", "my_flower.py"), ("yaml", "my_flower.yaml")):
        (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch):
    """A command as if typed in the folder, with PYTHONPATH=. before it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_flower", raising=False)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_example(folder):
    (typed,) = re.findall(r"^```console\n(.*)\n```$", PAGE, re.MULTILINE)
    paths = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    typed = typed.replace("PYTHONPATH=. ", f"PYTHONPATH={paths} ")  # what the reader has installed lies on it here
    done = subprocess.run(["bash", "-c", typed], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    run = cosim.Run.open(folder / "runs/flower")
    assert run.rounds["train_loss"].is_monotonic_decreasing
    assert run.rounds["global_accuracy"].iloc[-1] > 0.5  # of ten classes
    assert (run.devices["status"] == "arrived").all()


def test_the_function_gives_the_same_as_the_app_and_threads_change_nothing(folder, command):
    runs = []
    for name, workers in (("app", "1"), ("client_fn", "2")):
        client = f"learning.trainer.client=my_flower:{name}"
        assert command("run", "my_flower.yaml", "--out", name, "--workers", workers, "--set", client).exit_code == 0
        runs.append(cosim.Run.open(folder / name))
    for table in ("rounds", "devices"):
        pd.testing.assert_frame_equal(*(getattr(run, table) for run in runs), check_exact=True)


def test_a_client_that_raises_ends_the_run_with_one_message(folder, command):
    text = (folder / "my_flower.py").read_text().replace("losses = []", 'raise ValueError("out of battery")')
    (folder / "my_flower.py").write_text(text)
    done = command("run", "my_flower.yaml", "--out", "raises", "--quiet")
    assert done.exit_code == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("round 0: device 0: trainer.client = my_flower:app: the client raised ValueError: out of battery")
