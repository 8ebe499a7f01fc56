"""The shipped study and the page about studies: what they say works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cosim

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
PAGE = (ROOT / "docs/studies.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like the repository's root in which the page's commands were run."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "scenarios").symlink_to(ROOT / "scenarios")
    for block in blocks("console"):
        for command in block.splitlines():
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
            assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}\n{done.stderr}"
    return folder


def test_the_shipped_study(folder):
    study = cosim.Study.open(folder / "runs/allocators")
    assert (study.variants, study.seeds) == (("kkt", "equal_bandwidth", "personalization_only"), (1, 2, 3, 4, 5))
    assert study.runs["finished"].all()
    means = study.rounds.groupby(["variant", "seed"], observed=True)["objective"].mean().unstack(0)
    assert (means["kkt"] <= means["equal_bandwidth"] * (1 + 1e-6)).all()


def test_the_code_of_the_page(folder):
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "personalization_only" in done.stdout


def test_the_study_file_of_the_page(folder):
    from cosim.study import plan

    (text,) = blocks("yaml")
    (folder / "page.yaml").write_text(text.replace("../", f"{ROOT}/scenarios/"))
    assert list(plan.load(folder / "page.yaml").variants)[1] == "kkt,bandwidth_hz-3.6e6"


def test_the_files_are_a_hive_data_set_to_any_reader(folder):
    """As DuckDB and Polars see them: partitions found from directory names alone."""
    from pyarrow import dataset as ds

    files = [str(path) for path in folder.glob("runs/allocators/variant=*/seed=*/rounds.parquet/*.parquet")]
    frame = ds.dataset(files, partitioning="hive", partition_base_dir=str(folder / "runs/allocators")).to_table().to_pandas()
    assert frame.groupby(["variant", "seed"]).size().tolist() == [10] * 15


@pytest.mark.parametrize("reader", ["pandas", "duckdb", "polars"])
def test_other_programs_read_the_files(folder, reader):
    """The page's own query, word for word; DuckDB and Polars where they are installed."""
    expected = cosim.Study.open(folder / "runs/allocators").rounds.groupby("variant", observed=True)["latency_s"].mean().to_dict()
    if reader == "pandas":
        import pandas as pd

        frame = pd.concat(pd.read_parquet(path) for path in folder.glob("runs/allocators/variant=kkt/seed=*/rounds.parquet"))
        assert frame["latency_s"].mean() == pytest.approx(expected["kkt"])
        return
    module = pytest.importorskip(reader, reason=f"{reader} is not installed")
    if reader == "duckdb":
        (query,) = blocks("sql")
        found = dict(module.sql(query.replace("runs/", f"{folder}/runs/")).fetchall())
    else:
        (query,) = blocks("text")
        lazy = eval(query.replace("runs/", f"{folder}/runs/"), {"pl": module})
        found = dict(lazy.group_by("variant").agg(module.col("latency_s").mean()).collect().iter_rows())
    assert found == pytest.approx(expected)
