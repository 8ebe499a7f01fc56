import numpy as np
import pytest
from pydantic import ValidationError

from cosim.interfaces import Band
from cosim.net.pathloss import UrbanMacro
from cosim.net.tdl import TappedDelayLine
from cosim.net.tdl_profiles import profile
from cosim.rng import Streams

TIMES, IDS = np.arange(40) * 0.005, np.arange(12)
TRAVELLED = np.random.default_rng(0).uniform(0, 1, (40, 12)).cumsum(axis=0)
BAND = Band(9e6, 50)


def start(fading, devices=12, seed=1, band=BAND):
    return fading.start(UrbanMacro(), band, 0, devices, Streams(seed))


@pytest.mark.parametrize("name", list("ABCDE"))
def test_profiles_are_normalised(name):
    taps = profile(name)
    assert taps.power.sum() + taps.direct_power == pytest.approx(1.0)
    power = taps.power.copy()
    power[0] += taps.direct_power
    mean = power @ taps.delay
    assert np.sqrt(power @ (taps.delay - mean) ** 2) == pytest.approx(1.0, rel=0.02)  # the tables are rounded


def test_neither_order_nor_company_nor_number_of_devices_moves_a_bit():
    fading = TappedDelayLine(profile="D")
    whole = start(fading).subband_power(TIMES, TRAVELLED, IDS)
    rows, columns = np.array([7, 0, 39, 7]), np.array([11, 2, 2])
    cut = np.ix_(rows, columns)
    other = start(fading, devices=700)
    np.testing.assert_array_equal(other.subband_power(TIMES[rows], TRAVELLED[cut], IDS[columns]), whole[cut])
    np.testing.assert_array_equal(other.power(TIMES[rows], TRAVELLED[cut], IDS[columns]), start(fading).power(TIMES, TRAVELLED, IDS)[cut])
    crowd = np.arange(700)
    wide = other.subband_power(TIMES[:15], np.repeat(TRAVELLED[:15, :1], 700, axis=1), crowd)  # in several pieces
    for width in (1, 3, 33, 257):
        some = crowd[:: 700 // width][:width]
        np.testing.assert_array_equal(
            other.subband_power(TIMES[:15], np.repeat(TRAVELLED[:15, :1], some.size, axis=1), some), wide[:, some]
        )


def test_a_wide_band_in_pieces_has_one_answer_too():
    # 273 blocks are three products; a link alone, at an odd place in memory, and among others
    wide, narrow = Band(273 * 180e3, 273), Band(91 * 180e3, 91)
    whole = start(TappedDelayLine(), band=wide).subband_power(TIMES, TRAVELLED, IDS)
    alone = start(TappedDelayLine(), band=wide).subband_power(TIMES[5:6], TRAVELLED[5:6, 7:8], IDS[7:8])
    np.testing.assert_array_equal(alone[0, 0], whole[5, 7])
    middle = start(TappedDelayLine(), band=narrow).subband_power(TIMES, TRAVELLED, IDS)
    np.testing.assert_allclose(whole[:, :, 91:182], middle, atol=1e-4)


def test_the_response_is_that_of_its_taps():
    process = start(TappedDelayLine(profile="E", delay_spread_s=200e-9))
    real, imaginary = process.amplitudes(TIMES, TRAVELLED, IDS)
    turns = np.exp(-2j * np.pi * np.outer(profile("E").delay * 200e-9, BAND.offsets_hz))
    expected = np.abs(np.einsum("ltn,lf->tnf", real + 1j * imaginary, turns)) ** 2
    np.testing.assert_allclose(process.subband_power(TIMES, TRAVELLED, IDS), expected, atol=2e-5)
    np.testing.assert_allclose(process.power(TIMES, TRAVELLED, IDS), expected.mean(axis=-1), atol=2e-5)


def test_no_delay_spread_is_flat_and_more_of_it_varies_more():
    def spread(seconds):
        power = start(TappedDelayLine(delay_spread_s=seconds)).subband_power(TIMES, TRAVELLED, IDS)
        return np.mean(power.std(axis=-1) / power.mean(axis=-1))

    assert spread(0.0) < 1e-6
    assert spread(0.0) < spread(30e-9) < spread(300e-9)


def test_a_static_device_sees_the_residual_doppler_only():
    still = np.zeros_like(TRAVELLED)
    assert np.ptp(start(TappedDelayLine(residual_doppler_hz=0.0)).subband_power(TIMES, still, IDS), axis=0).max() == 0.0
    assert np.ptp(start(TappedDelayLine()).subband_power(TIMES, still, IDS), axis=0).max() > 0.0


def test_the_direct_path_has_seven_tenths_of_the_greatest_doppler_shift():
    # a far stronger direct path than any table's would leave one spectral line: look at the direct wave itself
    process = start(TappedDelayLine(profile="D"))
    np.testing.assert_allclose(process.direct.per_m * 299792458.0 / 3.5e9, 0.7)
    assert not process.direct.per_s.any()


def test_no_times_or_devices_give_empty_answers():
    process = start(TappedDelayLine())
    assert process.subband_power(np.empty(0), np.empty((0, 12)), IDS).shape == (0, 12, 50)
    assert process.power(TIMES, np.empty((40, 0)), IDS[:0]).shape == (40, 0)


@pytest.mark.parametrize("fields", [{"profile": "F"}, {"delay_spread_s": -1e-9}, {"sinusoids": 2}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        TappedDelayLine(**fields)
