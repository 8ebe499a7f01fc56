import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cosim.build import build_world
from cosim.errors import CosimError
from cosim.probe import check_target, sample, write
from cosim.scenario import Scenario

SMALL = Path(__file__).parents[2] / "scenarios" / "small_5dev.yaml"


def test_samples_are_the_worlds():
    scenario = Scenario.load(SMALL)
    samples = sample(scenario, 3, duration_s=2.0, step_s=0.25)
    world, times = build_world(scenario), np.arange(8) * 0.25
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
