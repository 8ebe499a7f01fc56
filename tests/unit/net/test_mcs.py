"""Link adaptation: the table, effective SINR, the choice of a scheme, the fit that plans use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.net.mcs import EESM_BETA, EFFICIENCY, MODULATION_ORDER, TransportBlocks, curves, effective_sinr
from cosim.rate import Shannon

ALL = np.arange(29)


def test_efficiencies_of_the_standard_at_its_corners():
    # spectral efficiencies as printed in TS 38.214, table 5.1.3.1-1
    assert EFFICIENCY[[0, 9, 10, 16, 17, 28]] == pytest.approx([0.2344, 1.3262, 1.3281, 2.5703, 2.5664, 5.5547], abs=5e-5)
    assert MODULATION_ORDER[[0, 9, 10, 16, 17, 28]].tolist() == [2, 2, 4, 4, 6, 6]


@given(st.lists(st.floats(0.01, 300), min_size=1, max_size=20), st.sampled_from(range(29)))
def test_effective_sinr_lies_between_the_least_and_the_mean(sinr, mcs):
    sinr = np.array(sinr)
    found = effective_sinr(sinr, np.zeros(sinr.size, int), EESM_BETA[[mcs]])[0, 0]
    assert sinr.min() * (1 - 1e-9) <= found <= sinr.mean() * (1 + 1e-9)
    beta = EESM_BETA[mcs]
    if sinr.max() < 30 * beta:
        assert found == pytest.approx(-beta * np.log(np.mean(np.exp(-sinr / beta))), rel=1e-6)


def test_effective_sinr_of_several_devices_with_blocks_in_between_each_other():
    sinr, owner = np.array([1.0, 5.0, 2.0, 7.0, 3.0]), np.array([1, 0, 1, 0, 1])
    alone = [effective_sinr(sinr[owner == k], np.zeros((owner == k).sum(), int), EESM_BETA)[0] for k in (0, 1)]
    assert effective_sinr(sinr, owner, EESM_BETA) == pytest.approx(np.array(alone))
    beta = EESM_BETA[np.array([4, 20])][owner][:, None]
    assert effective_sinr(sinr, owner, beta)[:, 0] == pytest.approx([alone[0][4], alone[1][20]])


def test_error_falls_with_sinr_and_rises_with_the_scheme():
    sinr_db = np.linspace(-15, 30, 200)
    error = curves().error(ALL[:, None], np.array(5000.0), sinr_db)
    assert (np.diff(error, axis=1) <= 1e-12).all()
    assert (curves().needed_db(ALL[:-1], np.full(28, 8000.0), 0.1) < curves().needed_db(ALL[1:], np.full(28, 8000.0), 0.1)).mean() > 0.9


@pytest.mark.parametrize("bits", [24.0, 300.0, 2000.0, 8424.0, 40_000.0, 400_000.0])
def test_needed_sinr_is_the_inverse_of_the_error(bits):
    needed = curves().needed_db(ALL, np.full(29, bits), 0.1)
    assert curves().error(ALL, np.full(29, bits), needed) == pytest.approx(np.full(29, 0.1), rel=1e-6)


def test_no_scheme_beats_shannon():
    needed = curves().needed_db(ALL, np.full(29, 2000.0), 0.1)
    assert (np.log2(1 + 10 ** (needed / 10)) > EFFICIENCY).all()
    assert (np.log2(1 + 10 ** ((needed - 3.5) / 10)) < EFFICIENCY).all()  # and none is far from it: codes of this length lose 1 to 3.5 dB


def test_the_best_scheme_within_the_target_is_chosen():
    link, elements = TransportBlocks(), np.full(60, 50 * 144.0)
    sinr = 10 ** (np.linspace(-9, 25, 60) / 10)
    mcs, size = link.choose(elements, sinr[:, None])
    error = curves().error(ALL, np.floor(elements[:, None] * EFFICIENCY), 10 * np.log10(sinr)[:, None])
    best = [max(np.flatnonzero(row <= 0.1), default=0) for row in error]
    assert mcs.tolist() == best
    assert mcs[0] == 0
    assert mcs[-1] == 28
    assert (size == np.floor(elements * EFFICIENCY[mcs])).all()


def test_resource_elements_of_nr_slots():
    link = TransportBlocks(data_symbols=12)
    assert link.elements(1e-3, 180e3) == pytest.approx(144)  # one slot of 1 ms
    assert link.elements(1e-3, 360e3) == pytest.approx(288)  # two of 0.5 ms
    assert link.elements(0.5e-3, 360e3) == pytest.approx(144)
    assert link.elements(1e-2, 720e3) == pytest.approx(144 * 40)


def test_the_fit_is_near_what_the_schemes_carry():
    link = TransportBlocks()
    sinr = 10 ** (np.linspace(-6, 20, 80) / 10)
    _, size = link.choose(np.full(80, 10 * 144.0), sinr[:, None])
    per_hz = size / (10 * 180e3 * 1e-3)
    ratio = link.fit.value(1.0, sinr) / per_hz
    assert ratio.min() > 0.75
    assert ratio.max() < 1.45  # just below the next scheme; from MCS 0 to 1 efficiency rises by a third
    assert ratio.mean() == pytest.approx(1.0, abs=0.08)
    assert (link.value(2e5, 1e6), link.supremum(1e6)) == (link.fit.value(2e5, 1e6), link.fit.supremum(1e6))
    assert link.fit.value(1.0, sinr) == pytest.approx(
        np.minimum(link.fit.efficiency_max_bps_hz, link.fit.attenuation * Shannon().value(1.0, sinr))
    )
