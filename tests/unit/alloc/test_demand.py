"""Demand at a price: the bandwidth that maximises w y(B) - lambda B, found by trying; and which pieces hold it."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz, log_marginal, prune_ratio
from cosim.alloc.demand import Demand
from cosim.alloc.pieces import end_of_piece
from cosim.alloc.problem import subset
from cosim.rate import Blocks, Shannon, TruncatedShannon


@pytest.fixture
def posed(random_problem, rate):
    """Devices with a choice, and their ranges [Hz]."""

    def make(seed, devices, **fields):
        problem = random_problem(np.random.default_rng(seed), devices, rate, **fields)
        least, most = bandwidth_range_hz(problem)
        most = np.minimum(most, 2.0 * problem.bandwidth_hz)
        chosen = most > least
        return subset(problem, chosen), least[chosen], most[chosen]

    return make


def surplus(problem, share_hz, log_price):
    """w y(B) - lambda B, (..., n)."""
    return problem.weight * (1.0 - prune_ratio(problem, share_hz)) - np.exp(log_price) * share_hz


@pytest.mark.parametrize("compute", [1.0, 0.0])
def test_no_other_bandwidth_is_worth_more(posed, compute):
    problem, least, most = posed(1, 12, compute=compute)
    demand = Demand(problem, least, most)
    cheap, dear = demand.log_prices()
    tried = np.exp(np.linspace(np.log(np.maximum(least, 1e-9 * most)), np.log(most), 2000))
    guess = np.sqrt(np.maximum(least, 1e-9 * most) * most)
    for log_price in np.linspace(cheap, dear, 9):
        share, guess = demand.at(log_price, guess)
        assert (share >= least).all()
        assert (share <= most * (1 + 1e-12)).all()
        best = surplus(problem, tried, log_price).max(axis=0)
        assert (surplus(problem, share, log_price) >= best - 1e-12 * problem.weight).all()


def test_from_all_to_nothing_between_the_log_prices(posed):
    """At the ends demand is that of the ranges; and the ends are not far off: just inside of them somebody moves."""
    problem, least, most = posed(2, 12)
    demand = Demand(problem, least, most)
    cheap, dear = demand.log_prices()
    assert demand.at(cheap, most)[0] == pytest.approx(most, rel=1e-12)
    assert demand.at(dear, least)[0] == pytest.approx(least, rel=1e-12)
    at_most, at_least = log_marginal(problem, most, side="left"), log_marginal(problem, least, side="right")
    assert cheap <= at_most.min() + 1e-6
    assert dear >= at_least.max() - 1e-6
    if not isinstance(problem.rate, Blocks | TruncatedShannon):
        assert cheap == pytest.approx(at_most.min(), abs=1e-6)
        assert dear == pytest.approx(at_least.max(), abs=1e-6)


def test_the_guess_does_not_matter(posed):
    problem, least, most = posed(3, 12)
    demand = Demand(problem, least, most)
    middle = 0.5 * sum(demand.log_prices())
    found = [demand.at(middle, guess)[0] for guess in (least, most, 0.5 * (least + most))]
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    assert found[2] == pytest.approx(found[0], rel=1e-9)


def test_units_do_not_matter(posed):
    """In THz, and in Tbit: shares are far below 1."""
    problem, least, most = posed(12, 12)
    fields = ("fixed_bits", "prunable_bits", "snr_hz", "bandwidth_hz")
    tera = dataclasses.replace(problem, **{name: 1e-12 * getattr(problem, name) for name in fields})
    if isinstance(problem.rate, Blocks):
        tera = dataclasses.replace(tera, rate=Blocks(problem.rate.rate, 1e-12 * problem.rate.block_hz))
    demand, other = Demand(problem, least, most), Demand(tera, 1e-12 * least, 1e-12 * most)
    higher = 12.0 * np.log(10.0)
    assert np.array(other.log_prices()) == pytest.approx(np.array(demand.log_prices()) + higher, abs=1e-6)
    for log_price in np.linspace(*demand.log_prices(), 7)[1:-1]:
        assert other.at(log_price + higher, 1e-12 * least)[0] == pytest.approx(1e-12 * demand.at(log_price, least)[0], rel=1e-8)


@pytest.mark.parametrize("rate", [Shannon()], ids=repr)
def test_few_looks_find_the_demand(posed, monkeypatch):
    """Newton's method in ln B, from any guess within ranges of decades: five looks at the rate on average, where halving takes 25."""
    looks = []
    for seed in range(6):
        problem, least, most = posed(seed, 12)
        demand = Demand(problem, least, most)
        prices, look = np.linspace(*demand.log_prices(), 7)[1:-1], demand._tangents
        monkeypatch.setattr(demand, "_tangents", lambda log_b, look=look: looks.append(1) or look(log_b))
        for log_price in prices:
            for guess in (least, most, np.sqrt(np.maximum(least, 1e-9 * most) * most)):
                demand.at(log_price, guess)
    assert len(looks) <= 5.2 * 6 * 5 * 3


def test_demand_falls_in_the_price(posed):
    problem, least, most = posed(4, 12)
    demand = Demand(problem, least, most)
    shares = np.array([demand.at(log_price, least)[0] for log_price in np.linspace(*demand.log_prices(), 40)])
    assert (np.diff(shares, axis=0) <= 1e-9 * most).all()
    assert (shares[0] > shares[-1]).all()


@pytest.mark.parametrize("rate", [Blocks(Shannon(), 180e3), Blocks(TruncatedShannon(), 180e3)], ids=repr)
def test_pieces_are_all_of_the_demand_where_they_hold_it(posed):
    """Windows around shares, near and far from those at the price: what they hold is right, what is not right they do not hold."""
    problem, least, most = posed(5, 12)
    demand = Demand(problem, least, most)
    held = refused = 0
    for log_price in np.linspace(*demand.log_prices(), 12)[1:-1]:
        share, _ = demand.at(log_price, least)
        for factor in (1.0, 1.1, 0.3, 3.0):
            pieces = demand.around(np.clip(factor * share, least, most), log_price)
            near, _ = pieces.at(log_price, share)
            if pieces.hold(near):
                held += 1
                assert surplus(problem, near, log_price) == pytest.approx(surplus(problem, share, log_price), abs=1e-12)
            else:
                refused += 1
            if factor == 1.0:
                assert near == pytest.approx(share, rel=1e-9)
    assert held > 0
    assert refused > 0


@pytest.mark.parametrize("rate", [Blocks(Shannon(), 1e3)], ids=repr)
def test_a_good_guess_saves_looks_at_whole_blocks(posed, monkeypatch):
    """Two looks where it holds; n blocks off, steps that double go past the answer and bisection comes back, some log2 n each."""
    problem, least, most = posed(11, 12)
    demand, looks = Demand(problem, least, most), []
    middle = 0.5 * sum(demand.log_prices())
    share = demand.at(middle, least)[0]
    monkeypatch.setattr("cosim.alloc.demand.end_of_piece", lambda *arguments: looks.append(1) or end_of_piece(*arguments))
    for blocks in (0, 1, -1, 10, -10, 100, -100, 1000, -1000):
        looks.clear()
        assert demand.at(middle, share + 1e3 * blocks)[0] == pytest.approx(share, rel=1e-12)
        assert len(looks) <= 2 + 2 * np.log2(1 + abs(blocks))


@pytest.mark.parametrize("rate", [Blocks(Shannon(), 1e3)], ids=repr)
def test_who_is_known_to_be_at_an_end_is_not_looked_for_elsewhere(posed, monkeypatch):
    problem, least, most = posed(11, 12)
    demand, looks = Demand(problem, least, most), []
    cheap, dear = demand.log_prices()
    monkeypatch.setattr("cosim.alloc.demand.end_of_piece", lambda *arguments: looks.append(1) or end_of_piece(*arguments))
    for log_price, end in ((cheap, most), (dear, least)):
        assert demand.at(log_price, end)[0] == pytest.approx(end, rel=1e-12)
    assert len(looks) <= 4


@pytest.mark.parametrize("rate", [Blocks(Shannon(), 180e3)], ids=repr)
def test_pieces_pass_from_all_to_nothing_between_their_log_prices(posed):
    problem, least, most = posed(6, 12)
    demand = Demand(problem, least, most)
    middle = 0.5 * sum(demand.log_prices())
    share, _ = demand.at(middle, least)
    pieces = demand.around(share, middle)
    cheap, dear = pieces.log_prices()
    assert pieces.at(cheap, share)[0] == pytest.approx(pieces.most_hz, rel=1e-9)
    assert pieces.at(dear, share)[0] == pytest.approx(pieces.least_hz, rel=1e-9)
    moved = [pieces.at(log_price, share)[0].sum() for log_price in (cheap, cheap + 1e-6, dear - 1e-6, dear)]
    assert moved[0] > moved[1] > moved[2] > moved[3]  # the ends are no further off than they need be


@pytest.mark.parametrize("rate", [Blocks(Shannon(), 180e3)], ids=repr)
def test_a_typical_price_of_pieces_lies_between_those_of_two_demands(posed):
    problem, least, most = posed(6, 12)
    demand = Demand(problem, least, most)
    middle = 0.5 * sum(demand.log_prices())
    pieces = demand.around(demand.at(middle, least)[0], middle)
    cheap, dear = pieces.log_prices()
    few, many = pieces.at(0.4 * cheap + 0.6 * dear, least)[0], pieces.at(0.6 * cheap + 0.4 * dear, least)[0]
    assert cheap < pieces.typical_log_price(few, many) < dear
    assert np.isnan(pieces.typical_log_price(few, few * (1 - 1e-9)))


@pytest.mark.parametrize("rate", [Shannon(), Blocks(Shannon(), 180e3), TruncatedShannon()], ids=repr)
def test_only_whole_blocks_come_in_pieces(posed, rate):
    problem, least, most = posed(7, 3)
    assert (Demand(problem, least, most).around(least, 0.0) is None) == (not isinstance(rate, Blocks))


def test_a_typical_price_parts_those_that_differ(posed):
    """Half-way between two demands, the price lies between theirs; devices whose shares are the same have no say."""
    problem, least, most = posed(8, 12)
    demand = Demand(problem, least, most)
    cheap, dear = demand.log_prices()
    few, many = demand.at(0.3 * cheap + 0.7 * dear, least)[0], demand.at(0.7 * cheap + 0.3 * dear, least)[0]
    assert cheap <= demand.typical_log_price(few, many) <= dear
    one = np.arange(few.size) == int(np.argmax(many - few))
    alone = demand.typical_log_price(few, np.where(one, many, few))
    middle = log_marginal(problem, 0.5 * (few + many))[one]
    if not isinstance(problem.rate, TruncatedShannon):
        assert alone == pytest.approx(float(middle[0]), abs=1e-9)


@pytest.mark.parametrize("rate", [Shannon()], ids=repr)
def test_in_parts_that_do_not_matter(posed, monkeypatch):
    problem, least, most = posed(9, 12)
    middle = 0.5 * sum(Demand(problem, least, most).log_prices())
    whole = Demand(problem, least, most).at(middle, least)[0]
    monkeypatch.setattr("cosim.alloc.demand._CHUNK", 5)
    assert np.array_equal(Demand(problem, least, most).at(middle, least)[0], whole)


@pytest.mark.parametrize("rate", [Shannon()], ids=repr)
def test_ranges_that_begin_at_nothing(posed):
    problem, _, most = posed(10, 6)
    free = dataclasses.replace(problem, fixed_bits=np.zeros(6), prune_max=1.0)
    demand = Demand(free, np.zeros(6), most)
    share, _ = demand.at(demand.log_prices()[1] + 1.0, most)
    assert (share == 0).all()
