import numpy as np
import pytest
from pydantic import ValidationError

from cosim.interfaces import Band
from cosim.net.fading import BlockRayleigh, Jakes, NoFading
from cosim.net.pathloss import UrbanMacro
from cosim.rate import Shannon
from cosim.rng import Streams

PATHLOSS, BAND = UrbanMacro(), Band(10e6, 1)
TIMES = np.arange(40) * 0.005
IDS = np.arange(12)
TRAVELLED = np.random.default_rng(0).uniform(0, 1, (40, 12)).cumsum(axis=0)


def start(fading, devices=12, seed=1, site=0):
    return fading.start(PATHLOSS, BAND, site, devices, Streams(seed))


def test_none_is_one_and_its_ergodic_rate_the_rate_itself():
    assert (start(NoFading()).power(TIMES, TRAVELLED, IDS) == 1.0).all()
    rate = Shannon()
    assert NoFading().ergodic(rate) is rate


@pytest.mark.parametrize("fading", [BlockRayleigh(), Jakes()])
def test_the_ergodic_rate_is_that_of_rayleigh_fading(fading):
    # Jensen: fading lowers the mean of a concave function of the SNR
    assert 0 < fading.ergodic(Shannon()).value(1e6, 1e6) < Shannon().value(1e6, 1e6)


@pytest.mark.parametrize("fading", [BlockRayleigh(block_s=0.01), Jakes()])
def test_neither_order_nor_company_nor_number_of_devices_moves_a_bit(fading):
    whole = start(fading).power(TIMES, TRAVELLED, IDS)
    rows, columns = np.array([7, 0, 39, 7]), np.array([11, 2, 2])
    part = start(fading, devices=500).power(TIMES[rows], TRAVELLED[np.ix_(rows, columns)], IDS[columns])
    np.testing.assert_array_equal(part, whole[np.ix_(rows, columns)])


@pytest.mark.parametrize("fading", [BlockRayleigh(), Jakes()])
def test_seed_and_site_name_the_draws(fading):
    one = start(fading).power(TIMES, TRAVELLED, IDS)
    for other in (start(fading, seed=2), start(fading, site=1)):
        assert (one != other.power(TIMES, TRAVELLED, IDS)).all()


def test_jakes_in_many_chunks_equals_one_device_alone():
    devices = 5000  # two rows of times per chunk
    process = start(Jakes(), devices=devices)
    travelled = np.outer(TIMES, np.linspace(0, 30, devices))
    whole = process.power(TIMES, travelled, np.arange(devices))
    np.testing.assert_array_equal(process.power(TIMES, travelled[:, 4321:4322], np.array([4321]))[:, 0], whole[:, 4321])


def test_a_static_device_sees_the_residual_doppler_only():
    still = np.zeros_like(TRAVELLED)
    assert np.ptp(start(Jakes(residual_doppler_hz=0.0)).power(TIMES, still, IDS), axis=0).max() == 0.0
    assert np.ptp(start(Jakes()).power(TIMES, still, IDS), axis=0).min() > 0.0


def test_phases_stay_accurate_after_a_long_journey():
    # float64 phases reduced before the cosine: 1000 km or 10^7 wavelengths leave 1e-9 of a cycle; in float32 nothing
    # would be left. Reference: the same sum in complex float64 with the phase reduced by exact splitting
    process = start(Jakes(residual_doppler_hz=0.0))
    base = 1.0e6
    far = process.power(np.zeros(1), np.full((1, 12), base), IDS)[0]
    waves = process.waves
    cycles = np.modf(base * waves.per_m[:, 0])[0] + waves.phase[:, 0]
    reference = np.abs(((waves.real + 1j * waves.imaginary)[:, 0] * np.cos(2 * np.pi * cycles)).sum(axis=0)) ** 2
    np.testing.assert_allclose(far, reference, atol=2e-5)


def test_blocks_are_constant_inside_and_change_between():
    power = start(BlockRayleigh(block_s=0.01)).power(TIMES, TRAVELLED, IDS)
    np.testing.assert_array_equal(power[0::2], power[1::2])  # slots of 5 ms in blocks of 10 ms, boundaries and all
    assert (power[0:-2:2] != power[2::2]).all()


@pytest.mark.parametrize("make", [lambda: BlockRayleigh(block_s=0.0), lambda: Jakes(sinusoids=4), lambda: Jakes(residual_doppler_hz=-1.0)])
def test_bad_fields_are_refused(make):
    with pytest.raises(ValidationError):
        make()
