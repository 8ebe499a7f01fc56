import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from typer.testing import CliRunner

from cosim.cli import app
from cosim.errors import CosimError
from cosim.plot.partition import partition
from cosim.probe import check_target, partition_table, sample, write, write_partition
from cosim.rng import Streams
from cosim.scenario import Scenario
from cosim.start import start_world

SMALL = Path(__file__).parents[2] / "scenarios" / "small_5dev.yaml"


def test_samples_are_the_worlds():
    scenario = Scenario.load(SMALL)
    samples = sample(scenario, 3, duration_s=2.0, step_s=0.25)
    world, times = start_world(scenario), np.arange(8) * 0.25
    assert list(samples.columns) == ["t_s", "x_m", "y_m", "speed_m_s", "gain_db", "mean_gain_db", "snr_db", "los"]
    np.testing.assert_array_equal(samples["t_s"], times)
    np.testing.assert_allclose(10 ** (samples["gain_db"] / 10), world.gain(times, np.array([3]))[:, 0], rtol=1e-12)
    # SNR over the band: transmit power - (-174 dBm/Hz + noise figure + 10 lg bandwidth), no gap in this scenario
    noise_dbm = -174 + scenario.sites[0].noise_figure_db + 10 * np.log10(scenario.uplink.bandwidth_hz)
    np.testing.assert_allclose(samples["snr_db"] - samples["gain_db"], scenario.devices.transmit_power_dbm - noise_dbm, rtol=1e-12)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.png", "a.svg"])
def test_the_files_name_says_what_is_written(tmp_path, name):
    samples = sample(Scenario.load(SMALL), 0, duration_s=1.0, step_s=0.1)
    write(samples, tmp_path / name, "small")
    assert (tmp_path / name).stat().st_size > 100
    if name == "a.csv":
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), samples)
    if name == "a.parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), samples)


def test_what_cannot_be_is_told(tmp_path):
    scenario = Scenario.load(SMALL)
    with pytest.raises(CosimError, match="devices 0 to 4"):
        sample(scenario, 5, duration_s=1.0, step_s=0.1)
    with pytest.raises(CosimError, match="rows"):
        sample(scenario, 0, duration_s=1e9, step_s=1e-3)
    with pytest.raises(CosimError, match="must end in"):
        check_target(tmp_path / "a.txt")
    with pytest.raises(CosimError, match="no such folder"):
        check_target(tmp_path / "b" / "a.csv")


def test_the_command_writes_samples_and_loads_no_torch(tmp_path):
    out = tmp_path / "a.csv"
    program = (
        "import sys; from typer.testing import CliRunner; from cosim.cli import app; "
        f"code = CliRunner().invoke(app, ['channel', {str(SMALL)!r}, '--device', '2', '--duration', '1', '--step', '0.1', '--out', {str(out)!r}]).exit_code; "
        "print(code, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0 False"
    assert len(pd.read_csv(out)) == 10


# --- who has which data -------------------------------------------------------------------------------

SKEW = {
    "learning.dataset.kind": "digits",
    "learning.model.kind": "mlp",
    "learning.partition.kind": "dirichlet",
    "learning.partition.sizes.spread": 0.8,
    "learning.partition.test_samples_per_device": 40,
}


def test_the_partitions_table_is_what_the_learner_deals():
    scenario = Scenario.load(SMALL, SKEW)
    table, data = partition_table(scenario), scenario.learning.dataset.load()
    shares = scenario.learning.partition.deal(data, 5, Streams(scenario.seed))
    assert list(table.columns[:4]) == ["device", "samples", "test_samples", "class_0"]
    np.testing.assert_array_equal(table["samples"], [len(share) for share in shares.train])
    np.testing.assert_array_equal(table["test_samples"], 40)
    for device, share in enumerate(shares.train):
        counts = table.loc[device, [f"class_{label}" for label in range(10)]].to_numpy(int)
        np.testing.assert_array_equal(counts, np.bincount(data.train_labels[share], minlength=10))


@pytest.mark.parametrize("copies", [1, 20])
def test_the_partitions_figure_stacks_all_images(copies):
    table = pd.concat([partition_table(Scenario.load(SMALL, SKEW))] * copies, ignore_index=True)
    table["device"] = np.arange(len(table))
    axes = partition(table)
    tops = [patch.get_y() + patch.get_height() for patch in axes.patches] if copies == 1 else [axes.dataLim.y1]
    assert max(tops) == table["samples"].max()
    assert len(axes.get_legend().get_texts()) == 10
    plt.close(axes.figure)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.png"])
def test_the_partition_is_written_as_the_files_name_says(tmp_path, name):
    table = partition_table(Scenario.load(SMALL, SKEW))
    write_partition(table, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 100
    if name == "a.csv":
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), table)


def test_a_scenario_without_data_is_told():
    with pytest.raises(CosimError, match="has no data"):
        partition_table(Scenario.load(SMALL, {"learning.kind": "none"}))


def test_the_command_prints_the_partition(tmp_path):
    result = CliRunner().invoke(app, ["data", str(SMALL), "--out", str(tmp_path / "a.svg")])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 7
    assert (tmp_path / "a.svg").exists()
