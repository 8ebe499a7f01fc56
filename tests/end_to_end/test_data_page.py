"""What docs/data.md says works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cosim
from cosim.catalog import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def test_the_page_names_every_kind():
    for role in ("dataset", "partition", "codec"):
        assert [kind for kind in KINDS[role] if f"| `{kind}` |" not in PAGE] == []


def test_its_code_and_its_command_run(tmp_path):
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    program = [sys.executable, "-c", block("python")]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "class_0" in done.stdout
    words = shlex.split(block("console"))
    command = [sys.executable, "-m", *words, "--out", str(tmp_path / "a.csv")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (0, 7), done.stderr


def test_its_table_runs(tmp_path):
    rows = [f"{person},{k % 3},{k % 3 + 0.1 * person},{k}" for person in range(5) for k in range(20)]
    (tmp_path / "sensors.csv").write_text("\n".join(["person,activity,a,b", *rows]) + "\n", encoding="utf-8")
    (tmp_path / "s.yaml").write_text(f"rounds: 1\ndevices: {{count: 5}}\n{block('yaml')}", encoding="utf-8")
    run = cosim.run(cosim.Scenario.load(tmp_path / "s.yaml"), out=tmp_path / "run")
    assert (run.devices["status"] == "arrived").all()
    assert run.rounds["global_accuracy"].between(0, 1).all()
