import numpy as np
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.interfaces import Band
from cosim.net.distance_laws import FreeSpace
from cosim.net.fading import Jakes
from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro
from cosim.net.rician import Rician
from cosim.rate import Shannon
from cosim.rng import Streams

TIMES, IDS = np.arange(40) * 0.005, np.arange(12)
TRAVELLED = np.random.default_rng(0).uniform(0, 1, (40, 12)).cumsum(axis=0)
BAND = Band(10e6, 1)


def start(fading, devices=12, seed=1, pathloss=None):
    return fading.start(pathloss or UrbanMacro(), BAND, 0, devices, Streams(seed))


def test_neither_order_nor_company_nor_number_of_devices_moves_a_bit():
    sight = np.random.default_rng(1).random((40, 12))
    whole = start(Rician()).power(TIMES, TRAVELLED, IDS, sight)
    rows, columns = np.array([7, 0, 39, 7]), np.array([11, 2, 2])
    cut = np.ix_(rows, columns)
    part = start(Rician(), devices=500).power(TIMES[rows], TRAVELLED[cut], IDS[columns], sight[cut])
    np.testing.assert_array_equal(part, whole[cut])


def test_a_static_device_in_still_surroundings_sees_a_constant_and_a_strong_direct_path_hardly_fades():
    still = np.zeros_like(TRAVELLED)
    assert np.ptp(start(Rician(residual_doppler_hz=0.0)).power(TIMES, still, IDS), axis=0).max() == 0.0
    np.testing.assert_allclose(start(Rician(k_db=80.0)).power(TIMES, TRAVELLED, IDS), 1.0, atol=5e-3)


def test_without_sight_it_is_rayleigh_whatever_k():
    # the same scattered waves for any K
    none = np.zeros_like(TRAVELLED)
    weak, strong = (start(Rician(k_db=k)).power(TIMES, TRAVELLED, IDS, none) for k in (-10.0, 30.0))
    np.testing.assert_array_equal(weak, strong)
    assert np.isclose(weak.mean(), 1.0, atol=0.3)


def test_the_mean_is_one_for_any_share_of_sight():
    # 20,000 links: standard deviation at most 1, four standard errors
    for share in (0.0, 0.4, 1.0):
        power = start(Rician(), 20_000).power(np.zeros(1), np.full((1, 20_000), 2.0), np.arange(20_000), np.full((1, 20_000), share))
        assert power.mean() == pytest.approx(1.0, abs=4 / np.sqrt(20_000))


@pytest.mark.parametrize(("model", "mean", "deviation"), [(UrbanMacro(), 9.0, 3.5), (UrbanMicro(), 9.0, 5.0), (RuralMacro(), 7.0, 4.0)])
def test_k_comes_from_the_scenarios_table(model, mean, deviation):
    share = start(Rician(), 5000, pathloss=model).direct_share
    k_db = 10 * np.log10(share / (1 - share))
    assert k_db.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(5000))
    assert k_db.std() == pytest.approx(deviation, rel=4 / np.sqrt(10_000))


def test_a_model_without_k_needs_one():
    with pytest.raises(ScenarioError, match=r"k_db.*FreeSpace"):
        start(Rician(), pathloss=FreeSpace())
    assert (start(Rician(k_db=0.0), pathloss=FreeSpace()).direct_share == 0.5).all()


def test_the_plan_is_never_above_the_mean_rate():
    # E log2(1 + x |h|^2) over 20,000 links is at least the Rayleigh mean, less four standard errors of a rate of ~1 bit/s/Hz
    power = start(Rician(k_db=6.0), 20_000).power(np.zeros(1), np.full((1, 20_000), 2.0), np.arange(20_000))[0]
    for snr in (0.1, 1.0, 30.0):
        assert np.log2(1 + snr * power).mean() > Rician().ergodic(Shannon()).value(1.0, snr) - 4 / np.sqrt(20_000)
    assert Rician().ergodic(Shannon()).value(1.0, 3.0) == Jakes().ergodic(Shannon()).value(1.0, 3.0)


@pytest.mark.parametrize("fields", [{"sinusoids": 4}, {"residual_doppler_hz": -1.0}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        Rician(**fields)
