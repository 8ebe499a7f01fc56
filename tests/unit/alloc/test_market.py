"""Clearing by Newton's method: the conditions that its shares must meet, how few steps it takes, and that nobody minds in how many parts."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from cosim.alloc import market
from cosim.alloc.closed_forms import bandwidth_range_hz, log_marginals, log_pull
from cosim.alloc.kkt import KKT
from cosim.alloc.market import Terms, clear_market
from cosim.alloc.problem import subset
from cosim.rate import ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

SMOOTH = [Shannon(), ErgodicRayleigh(), ErgodicTruncated(TruncatedShannon())]
TOLERANCE = 1e-10


def cleared(problem):
    """What ``kkt`` asks for: the devices that have a choice, up to twice the band, and the part of the band that is theirs."""
    least, most = bandwidth_range_hz(problem)
    most = np.minimum(most, 2.0 * problem.bandwidth_hz)
    part = subset(problem, most > least)
    band_hz = problem.bandwidth_hz - least[most <= least].sum()
    terms = Terms(part.rate, part.snr_hz, part.prunable_time_s, part.prunable_bits, log_pull(part), least[most > least], most[most > least])
    assert terms.most_hz.sum() > band_hz > terms.least_hz.sum()
    with np.errstate(all="ignore"):
        return part, band_hz, terms, clear_market(terms, band_hz, TOLERANCE)


def assert_clears(problem, band_hz, terms, found):
    """A share in the inside of its range is worth the price, at the least it is worth no more, at the most no less."""
    share = found.share_hz
    assert share.sum() == pytest.approx(band_hz, rel=TOLERANCE)
    assert (share >= terms.least_hz * (1 - 1e-12)).all()
    assert (share <= terms.most_hz * (1 + 1e-12)).all()
    _, left, right = log_marginals(problem, share)
    at_least, at_most = share <= terms.least_hz * (1 + 1e-12), share >= terms.most_hz * (1 - 1e-12)
    assert (right <= found.log_price + 2 * TOLERANCE)[~at_most].all()
    assert (left >= found.log_price - 2 * TOLERANCE)[~at_least].all()


@pytest.mark.parametrize(
    ("rate", "tightness"), [*itertools.product(SMOOTH, (0.02, 0.3, 0.8)), *itertools.product([TruncatedShannon()], (0.3, 0.8))], ids=repr
)
def test_marginal_values_are_the_price(random_problem, rate, tightness):
    """On its own: where it gives up, ``kkt`` falls back on a search, and nobody would notice."""
    rng = np.random.default_rng(1)
    for devices in (1, 2, 30):
        part, band_hz, terms, found = cleared(random_problem(rng, devices, rate, tightness=tightness))
        assert found is not None
        assert_clears(part, band_hz, terms, found)
        if rate in SMOOTH:
            value, height, _ = log_marginals(part, found.share_hz)
            assert found.rate_bps == pytest.approx(value, rel=1e-9)
            assert found.height == pytest.approx(height, abs=1e-8)


@pytest.mark.parametrize("rate", [*SMOOTH, TruncatedShannon()], ids=repr)
def test_gains_over_eight_orders_of_magnitude(problem, rate):
    """Ranges that begin at 0 (all can be pruned away), some cut at the most, most devices in the inside."""
    wide = problem(17, rate=rate, snr_hz=10.0 ** np.linspace(4, 12, 17), fixed_bits=np.zeros(17), prune_max=1.0, bandwidth_hz=1e6)
    part, band_hz, terms, found = cleared(wide)
    assert found is not None
    assert_clears(part, band_hz, terms, found)


@pytest.mark.parametrize("rate", [*SMOOTH, TruncatedShannon()], ids=repr)
def test_steps_are_few(random_problem, rate, monkeypatch):
    """Newton's method: from half-way through ranges of decades to ten digits in a handful of looks at the rate."""
    looks = []

    def counted(*arguments):
        looks.append(1)
        return expansion(*arguments)

    expansion = market.expansion
    monkeypatch.setattr(market, "expansion", counted)
    rng, most = np.random.default_rng(2), 0
    for tightness, devices in itertools.product((0.3, 0.8), (5, 50)):
        problem = random_problem(rng, devices, rate, tightness=tightness)
        looks.clear()
        assert cleared(problem)[-1] is not None
        most = max(most, len(looks))
    assert most <= 8


@pytest.mark.parametrize("rate", [Shannon(), ErgodicRayleigh()], ids=repr)
def test_prices_are_found_in_few_steps_too(random_problem, rate, monkeypatch):
    """Between looks at the rate the laws are followed to a price, less than twice a look on average."""
    followed, follow = [], market._Devices.follow
    monkeypatch.setattr(market._Devices, "follow", lambda part, log_price: followed.append(1) or follow(part, log_price))
    for seed, tightness in itertools.product(range(6), (0.05, 0.3, 0.8)):
        KKT().allocate(random_problem(np.random.default_rng(seed), 20, rate, tightness=tightness), np.random.default_rng(0))
    assert len(followed) <= 7 * 18


@pytest.mark.parametrize("rate", [Shannon(), TruncatedShannon()], ids=repr)
def test_many_devices_are_cleared_in_parts_that_do_not_matter(random_problem, rate, monkeypatch):
    problem = random_problem(np.random.default_rng(3), 50, rate)
    whole = cleared(problem)[-1]
    monkeypatch.setattr(market, "_CHUNK", 7)
    parts = cleared(problem)[-1]
    assert parts.share_hz == pytest.approx(whole.share_hz, rel=1e-9)
    assert parts.log_price == pytest.approx(whole.log_price, abs=1e-9)
    assert (whole.rate_bps is None) == (parts.rate_bps is None) == isinstance(rate, TruncatedShannon)


def test_without_a_price_there_is_no_answer(problem):
    """On a straight piece and with nothing to compute, equal devices are all worth one price: demand jumps there."""
    tied = problem(3, rate=TruncatedShannon(), prunable_time_s=np.zeros(3), snr_hz=np.full(3, 1e12), bandwidth_hz=2e5)
    assert cleared(tied)[-1] is None
    answer = KKT().allocate(tied, np.random.default_rng(0))
    assert answer.certificate.worst <= 1e-9
    assert answer.bandwidth_hz == pytest.approx(np.full(3, 2e5 / 3), rel=1e-9)


@pytest.mark.parametrize("rate", [*SMOOTH, TruncatedShannon()], ids=repr)
def test_units_do_not_matter(random_problem, rate):
    """In MHz and Mbit shares are a few units or less, and the price is a million times as high."""
    problem = random_problem(np.random.default_rng(4), 12, rate)
    fields = ("fixed_bits", "prunable_bits", "snr_hz", "bandwidth_hz")
    mega = dataclasses.replace(problem, **{name: 1e-6 * getattr(problem, name) for name in fields})
    one, other = (cleared(made)[-1] for made in (problem, mega))
    assert other.log_price == pytest.approx(one.log_price + math.log(1e6), abs=1e-9)
    assert other.share_hz == pytest.approx(1e-6 * one.share_hz, rel=1e-9)


@pytest.mark.parametrize("rate", [Shannon(), TruncatedShannon()], ids=repr)
def test_a_weight_moves_the_price_and_not_the_shares(random_problem, rate):
    """All weights ten times as large: the log price is ln 10 higher, the shares are the same."""
    problem = random_problem(np.random.default_rng(4), 12, rate)
    dear = dataclasses.replace(problem, weight=10.0 * problem.weight)
    one, other = (cleared(made)[-1] for made in (problem, dear))
    assert other.log_price == pytest.approx(one.log_price + math.log(10.0), abs=1e-9)
    assert other.share_hz == pytest.approx(one.share_hz, rel=1e-9)
