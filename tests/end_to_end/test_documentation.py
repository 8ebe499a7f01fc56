"""What the documents say works: their commands and their code are run, as they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cosim

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(document):
    return [line.split("#")[0].strip() for block in blocks(document, "console") for line in block.splitlines() if line.strip()]


def shell(command, folder):
    return subprocess.run(["bash", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like the repository's root, but without anything in ``runs``."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "scenarios", folder / "scenarios")
    return folder


def test_the_commands_of_the_readme(folder):
    mine = [command for command in commands("README.md") if not command.startswith("make ")]
    assert len(mine) > 5
    for command in mine:
        done = shell(command, folder)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}\n{done.stderr}"
        assert done.stdout
    assert (folder / "runs/a/report.html").exists()


def test_the_code_of_the_readme(folder):
    (code,) = blocks("README.md", "python")
    (folder / "readme.py").write_text(code)
    done = shell("python readme.py", folder)
    assert done.returncode == 0, done.stderr
    assert "accuracy_mean" in done.stdout
    assert len(cosim.Run.open(folder / "runs/d").rounds) == 2


def test_the_allocator_of_the_guide(folder):
    (code,) = blocks("CONTRIBUTING.md", "python")
    assert len(code.splitlines()) <= 30
    (folder / "my_allocators.py").write_text(code)
    (command,) = [command for command in commands("CONTRIBUTING.md") if not command.startswith("make ")]
    done = shell(command, folder)
    assert done.returncode == 0, done.stderr
    run = cosim.Run.open(folder / "runs/mine")
    assert run.scenario["allocator"] == {"kind": "my_allocators:BestChannels", "sharers": 2}
    assert run.rounds["devices_selected"].max() <= 2


def test_the_sections_of_the_readme_are_those_of_a_scenario():
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(table))) == sorted(cosim.Scenario.model_fields)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/scenario.md"])
def test_links_lead_somewhere(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / document).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (folder / target).exists(), target


def test_the_error_of_the_scenario_page(tmp_path):
    (tmp_path / "s.yaml").write_text("seed: 1\ndevices:\n  count: 2.5\n")
    assert shell("cosim check s.yaml", tmp_path).stderr == blocks("docs/scenario.md", "text")[0]


def test_the_energy_scenario_of_the_allocators_page(tmp_path):
    (text,) = blocks("docs/allocators.md", "yaml")
    (tmp_path / "s.yaml").write_text(text)
    run = cosim.run(cosim.Scenario.load(tmp_path / "s.yaml"), out=tmp_path / "run")
    assert (run.devices["energy_planned_j"].dropna() <= 0.2 * (1 + 1e-9)).all()
    assert (run.devices["energy_planned_j"] > 0.19).any()
    assert run.devices["transmit_power_w"].min() < 0.19


def test_the_targets_that_the_documents_name_exist():
    named = {
        command.split()[1] for document in ("README.md", "CONTRIBUTING.md") for command in commands(document) if command.startswith("make ")
    }
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == {"demo", "test", "test-full", "bench", "golden", "paper"}
    assert named <= set(targets)


def prepared(tmp_path):
    """A copy of the repository whose environment is this one, as if ``make`` had made it."""
    shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "runs", "__pycache__"))
    (tmp_path / "copy/.venv").mkdir()
    (tmp_path / "copy/.venv/bin").symlink_to(Path(sys.executable).parent)
    for stamp in ("installed", "installed-dev"):
        (tmp_path / "copy/.venv" / stamp).touch()
    return tmp_path / "copy"


def test_make_installs_once(tmp_path):
    copy = prepared(tmp_path)
    planned = shell("make --dry-run demo", copy).stdout
    assert "pip install" not in planned
    assert [shlex.split(line)[1:] for line in planned.splitlines() if "/cosim " in line] == [
        ["run", "scenarios/urban_50dev.yaml", "--out", "runs/demo"],
        ["report", "runs/demo", "--out", "runs/demo/report.html"],
    ]
    (copy / ".venv/installed").unlink()
    installing = [line for line in shell("make --dry-run demo", copy).stdout.splitlines() if "pip install" in line]
    assert installing[0].endswith("--constraint constraints.txt torch")
    assert installing[-1].endswith("--editable .")


@pytest.mark.full
def test_make_demo_twice(tmp_path):
    copy = prepared(tmp_path)
    for _ in range(2):
        done = shell("make demo", copy)
        assert done.returncode == 0, done.stderr
        assert "run directory: runs/demo" in done.stdout
        assert "page: runs/demo/report.html" in done.stdout
    assert len(cosim.Run.open(copy / "runs/demo").rounds) == 20
