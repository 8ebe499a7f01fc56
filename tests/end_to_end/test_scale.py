"""Cells of ten thousand devices and more: they run, within a bound of memory, and their tables add up."""

import resource
import subprocess
import sys

import numpy as np
import pytest

import cosim

GIB = 2**30


@pytest.mark.full
@pytest.mark.parametrize("devices", [10_000, 100_000])
def test_large_cells_run_in_four_gibibytes(devices, tmp_path):
    """A second of the scenario's first round: everybody is followed from its beginning, and a deadline ends it."""
    settings = {"devices.count": devices, "rounds": 1, "round.policy.after": 1.0, "uplink.bandwidth_hz": 1e4 * devices}
    chosen = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "cosim", "run", "scenarios/scale_10k.yaml", "--out", str(tmp_path / "run"), "--quiet", *chosen]
    subprocess.run(command, check=True, timeout=600)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 4 * GIB  # the largest of all children so far
    run = cosim.Run.open(tmp_path / "run")
    table = run.devices
    assert sorted(table.device) == list(range(devices))
    assert table.status.isin(["arrived", "late"]).all()
    assert run.rounds.latency_s.to_list() == pytest.approx([1.0])
    power_w = 10 ** (23 / 10 - 3) / run.scenario["devices"]["amplifier_efficiency"]
    sending_s = np.maximum(1.0 - table.t_download_s - table.t_compute_s, 0.0).fillna(0.0)  # who is not done with its work sends nothing
    np.testing.assert_allclose(table.energy_transmit_j.fillna(0.0), power_w * sending_s, atol=1e-9)
    assert 0 < run.rounds.uplink_bits[0] < table.payload_bits.sum()
