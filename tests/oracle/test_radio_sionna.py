"""Path loss, line of sight, large-scale statistics and tapped delay lines against Sionna (package sionna-no-rt).

Sionna takes c = 299792458 m/s in the breakpoint, as we do by default. Its line-of-sight probability is not cut at 1.
"""

import warnings

import numpy as np
import pytest

from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro
from cosim.net.tdl_profiles import profile

pytestmark = pytest.mark.oracle_sionna

GRID_M = np.geomspace(10.0, 5000.0, 400)
CASES = [
    *((UrbanMacro, "UMaScenario", carrier, 25.0) for carrier in (0.9e9, 3.5e9, 28e9)),
    *((UrbanMicro, "UMiScenario", carrier, 10.0) for carrier in (0.9e9, 3.5e9, 28e9)),
    *((RuralMacro, "RMaScenario", carrier, 35.0) for carrier in (0.9e9, 3.5e9)),
]


@pytest.fixture(scope="module")
def sionna():
    """Sionna's module for TR 38.901; the tests are skipped where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("sionna.phy", reason="the extra `sionna` is not installed")
        from sionna.phy.channel import tr38901

        yield tr38901


def scenario(sionna, name, carrier_hz, *, los, site_m, device_m=1.5):
    """Sionna's scenario with one site and a device at each distance of the grid."""
    import torch

    antenna = {"num_rows_per_panel": 1, "num_cols_per_panel": 1, "polarization": "single", "polarization_type": "V"}
    common = {"carrier_frequency": carrier_hz, "precision": "double", "device": "cpu"}
    arrays = {side: sionna.PanelArray(**antenna, antenna_pattern="omni", **common) for side in ("ut_array", "bs_array")}
    building = {} if name == "RMaScenario" else {"o2i_model": "low"}
    made = getattr(sionna, name)(**common, **arrays, **building, direction="uplink")
    count = len(GRID_M)
    place = np.stack([GRID_M, np.zeros(count), np.full(count, device_m)], axis=-1)[None]
    zeros = torch.zeros(1, count, 3, dtype=torch.float64)
    made.set_topology(
        ut_loc=torch.from_numpy(place),
        bs_loc=torch.tensor([[[0.0, 0.0, site_m]]], dtype=torch.float64),
        ut_orientations=zeros,
        bs_orientations=zeros[:, :1],
        ut_velocities=zeros,
        in_state=torch.zeros(1, count, dtype=torch.bool),
        los=los,
    )
    return made


@pytest.mark.parametrize("device_m", [1.5, 8.0])
@pytest.mark.parametrize("los", [True, False])
@pytest.mark.parametrize(("ours", "name", "carrier_hz", "site_m"), CASES)
def test_path_loss(sionna, within, ours, name, carrier_hz, site_m, los, device_m):
    theirs = scenario(sionna, name, carrier_hz, los=los, site_m=site_m, device_m=device_m).basic_pathloss[0, 0].numpy()
    found = ours(carrier_hz=carrier_hz).loss_db(GRID_M, los, site_m, device_m)
    state = "LOS" if los else "NLOS"
    within(f"path loss {ours.__name__}, {state}, {carrier_hz / 1e9:g} GHz", "Sionna", found - theirs, 1e-3, unit="dB", samples=found.size)


@pytest.mark.parametrize("device_m", [1.5, 8.0, 18.0, 22.5])
@pytest.mark.parametrize(("ours", "name", "carrier_hz", "site_m"), [CASES[1], CASES[4], CASES[7]])
def test_los_probability(sionna, within, ours, name, carrier_hz, site_m, device_m):
    if ours is RuralMacro and device_m > 10.0:
        pytest.skip("RMa ends at 10 m")
    theirs = scenario(sionna, name, carrier_hz, los=True, site_m=site_m, device_m=device_m).los_probability[0, 0].numpy()
    found = ours(carrier_hz=carrier_hz).los_probability(GRID_M, device_m)
    within(f"LOS probability {ours.__name__}", "Sionna, cut at 1", found - np.minimum(theirs, 1.0), 1e-6, samples=found.size)


@pytest.mark.parametrize("los", [True, False])
@pytest.mark.parametrize(("ours", "name", "carrier_hz", "site_m"), [CASES[1], CASES[4], CASES[7]])
def test_shadowing_and_k_factor(sionna, within, ours, name, carrier_hz, site_m, los):
    theirs = scenario(sionna, name, carrier_hz, los=los, site_m=site_m)
    model = ours(carrier_hz=carrier_hz)
    sigma = 10.0 * theirs.lsp_log_std[0, 0, :, 3].numpy()
    within(
        f"shadowing sigma {ours.__name__}", "Sionna", model.shadowing_sigma_db(GRID_M, los, site_m) - sigma, 1e-6, unit="dB", samples=400
    )
    if los:
        mean, deviation = (10.0 * part[0, 0, :, 4].numpy() for part in (theirs.lsp_log_mean, theirs.lsp_log_std))
        k_mean, k_deviation = model.rician_k_db
        within(f"K factor {ours.__name__}", "Sionna", np.concatenate([mean - k_mean, deviation - k_deviation]), 1e-6, unit="dB", samples=2)


@pytest.mark.parametrize("name", list("ABCDE"))
def test_tap_powers_and_delays(sionna, within, name):
    theirs = sionna.TDL(name, 1.0, 3.5e9, precision="double", device="cpu")
    taps = profile(name)
    power = taps.power.copy()
    power[0] += taps.direct_power
    within(f"TDL-{name} tap powers", "Sionna", 10 * np.log10(power / theirs.mean_powers.numpy()), 0.1, unit="dB", samples=power.size)
    np.testing.assert_allclose(taps.delay, theirs.delays.numpy(), atol=1e-12)
    if taps.direct_power:
        assert float(theirs.k_factor) == pytest.approx(taps.direct_power / taps.power[0], rel=1e-9)
