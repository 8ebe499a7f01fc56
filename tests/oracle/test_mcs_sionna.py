"""NR link adaptation against the tables and functions of Sionna."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from cosim.net.bler import CODE_BLOCK_BITS
from cosim.net.mcs import CODE_RATE, EESM_BETA, MODULATION_ORDER, curves, effective_sinr
from cosim.net.power import OpenLoop

pytestmark = pytest.mark.oracle_sionna
pytest.importorskip("sionna")
SYS = Path(next(iter(importlib.util.find_spec("sionna").submodule_search_locations))) / "sys"


def test_table_of_schemes():
    import torch
    from sionna.phy.nr.utils import decode_mcs_index

    order, rate = decode_mcs_index(torch.arange(29), table_index=1, is_pusch=False)
    assert order.cpu().numpy().tolist() == MODULATION_ORDER.tolist()
    assert rate.cpu().numpy() == pytest.approx(CODE_RATE, rel=1e-6)


def test_error_curves_meet_the_simulated_points():
    """Each of the simulated points, 3 .. 28 x 5 sizes x 15 SINRs; a point has an uncertainty of a few per cent itself."""
    table = json.loads((SYS / "bler_tables" / "PDSCH_table1.json").read_text())["category"]["1"]["index"]["1"]["MCS"]
    distance = []
    for mcs, row in table.items():
        for size, points in row["CBS"].items():
            error = curves().error(np.array(int(mcs)), np.array(float(size)), np.array(row["SNR_db"]))
            distance.append(error - np.array(points["BLER"]))
    distance = np.abs(np.concatenate(distance))
    assert distance.max() < 0.05
    assert np.sqrt(np.mean(distance**2)) < 0.006


def test_constants_of_the_effective_sinr():
    table = json.loads((SYS / "esm_params" / "eesm_beta_table.json").read_text())
    assert EESM_BETA.tolist() == table["index"]["1"]


def test_effective_sinr():
    import torch
    from sionna.sys import EESM

    sinr = np.random.default_rng(1).exponential(5.0, size=40)
    eesm = EESM(device="cpu")
    for mcs in (0, 7, 13, 28):
        # [symbols, subcarriers, devices, streams]
        theirs = eesm(torch.tensor(sinr, dtype=torch.float32).reshape(1, 40, 1, 1), mcs_index=torch.tensor([mcs]), mcs_table_index=1)
        ours = effective_sinr(sinr, np.zeros(40, int), EESM_BETA[[mcs]])[0, 0]
        assert float(theirs.reshape(-1)[0]) == pytest.approx(ours, rel=2e-3)


def test_transport_blocks_of_several_code_blocks():
    """1 - (1 - e)^C."""
    one = curves().error(np.array(10), np.array(2000.0), np.array(4.0))
    for pieces in (2, 5):
        many = curves().error(np.array(10), np.array(float(pieces * CODE_BLOCK_BITS)), np.array(4.0))
        assert many == pytest.approx(1 - (1 - one) ** pieces, rel=1e-9)


def test_open_loop_power_control():
    import torch
    from sionna.sys import open_loop_uplink_power_control

    loss_db, blocks = np.linspace(70, 140, 15), np.arange(1, 16)
    theirs = open_loop_uplink_power_control(
        torch.tensor(10 ** (loss_db / 10), dtype=torch.float32),
        num_allocated_subcarriers=torch.tensor(12 * blocks),
        alpha=0.8,
        p0_dbm=-78.0,
        ut_max_power_dbm=23.0,
    )
    law = OpenLoop(p0_dbm=-78, alpha=0.8).start(23.0, 1e19)
    ours_w = 10**-0.7 * np.minimum(1.0, law.per_hz(10 ** (-loss_db / 10)) * blocks * 180e3)
    assert theirs.cpu().numpy() == pytest.approx(ours_w, rel=1e-4)
