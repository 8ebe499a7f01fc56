"""Clearing of value curves that are only known by asking: curves with closed answers, smooth, with jumps, flat, worthless."""

import numpy as np
import pytest

from cosim.alloc.curves import FLOOR, Kinks, bracketed_root, clear_curves
from cosim.rate import Blocks, Shannon, TruncatedShannon

WEIGHT = np.array([1.0, 2.0, 5.0])


def no_kinks(devices=3):
    return Kinks(Shannon(), np.full(devices, 1e8))


class Asked:
    """Counts how often curves are asked."""

    def __init__(self, heights):
        self.heights, self.times = heights, 0

    def __call__(self, bandwidth_hz):
        self.times += 1
        return self.heights(bandwidth_hz)


def logarithmic(bandwidth_hz):
    """Values w ln B: marginal value w / B, so shares are in proportion to the weights and the price is sum w / band."""
    height = np.log(WEIGHT / bandwidth_hz)
    return height, height


def test_proportional_fairness():
    asked = Asked(logarithmic)
    share, price = clear_curves(asked, (np.full(3, 1.0), np.full(3, 1e6)), 4e5, no_kinks())
    assert share == pytest.approx(4e5 * WEIGHT / 8.0, rel=1e-11)
    assert price == pytest.approx(8.0 / 4e5, rel=1e-11)
    assert asked.times <= 5  # heights are straight in ln B: the first guess is right


@pytest.mark.parametrize("unit_hz", [1e-15, 1e-3, 1e12])
def test_units_do_not_matter(unit_hz):
    """Nor that one counts for a millionth of the others, where ranges begin at nothing."""
    weight = np.array([1e-6, 2.0, 5.0])

    def heights(bandwidth):
        height = np.log(weight / bandwidth)
        return height, height

    share, price = clear_curves(heights, (np.zeros(3), np.full(3, 1e6 * unit_hz)), 4e5 * unit_hz, no_kinks())
    assert share == pytest.approx(4e5 * unit_hz * weight / weight.sum(), rel=1e-9)
    assert price == pytest.approx(weight.sum() / (4e5 * unit_hz), rel=1e-9)


def test_who_is_at_an_end_of_the_range_stays_there():
    """The third would take 2.5e5 and may have 1e5 only; the first would take 1 / 3 of the others' and must have 2e5."""
    asked = Asked(logarithmic)
    share, price = clear_curves(asked, (np.array([2e5, 1.0, 1.0]), np.array([1e6, 1e6, 1e5])), 4e5, no_kinks())
    assert asked.times <= 5  # at an end there is nothing more to be found out
    assert share == pytest.approx([2e5, 1e5, 1e5], rel=1e-11)
    assert 5.0 / 1e5 >= price >= 1.0 / 2e5
    assert price == pytest.approx(2.0 / 1e5, rel=1e-11)


def test_enough_for_all():
    most = np.array([1e5, 2e5, 3e5])
    share, price = clear_curves(logarithmic, (np.ones(3), most), 6e5, no_kinks())
    assert np.array_equal(share, most)
    assert price == 0.0


def bent(bandwidth_hz):
    """Value w (1 - (1 + B / c) e^(-B / c)): strongly bent heights, for Newton-like steps to earn their keep."""
    height = np.log(WEIGHT) - bandwidth_hz / 1e5
    return height, height


def test_bent_curves_by_their_closed_answer():
    """ln w - B / c = ln price: B = c (ln w - mean ln w) + band / n."""
    asked = Asked(bent)
    share, price = clear_curves(asked, (np.full(3, 1.0), np.full(3, 1e6)), 9e5, no_kinks())
    expected = 1e5 * (np.log(WEIGHT) - np.log(WEIGHT).mean()) + 3e5
    assert share == pytest.approx(expected, rel=1e-9)
    assert np.log(price) == pytest.approx(np.log(WEIGHT).mean() - 3.0, abs=1e-9)
    assert asked.times <= 40


def test_who_is_never_worth_the_price_gets_nothing():
    """The first is worth at most 1e-3; the others, alike, are worth e^-3 with half of the band each."""

    def heights(bandwidth_hz):
        height = np.log([1e-3, 1.0, 1.0]) - bandwidth_hz / 1e5
        return height, height

    share, price = clear_curves(heights, (np.zeros(3), np.full(3, 1e6)), 6e5, no_kinks())
    assert share == pytest.approx([0.0, 3e5, 3e5], rel=1e-9)
    assert price == pytest.approx(np.exp(-3.0), rel=1e-9)


def stepped(jump_hz, low, high):
    """Marginal value ``high`` up to ``jump_hz``, ``low`` from there on."""

    def heights(bandwidth_hz):
        hair = 1e-12
        left = np.where(bandwidth_hz <= jump_hz * (1 + hair), np.log(high), np.log(low))
        right = np.where(bandwidth_hz < jump_hz * (1 - hair), np.log(high), np.log(low))
        return left, right

    return heights


@pytest.mark.parametrize("cheap", [1e-6, 1e-3, 1.0, 1e9])
def test_a_jump_holds_its_devices_over_a_range_of_prices(cheap):
    """Dear up to 1e5 Hz each and cheap beyond; 4e5 for three of them: all are past the jump and share the rest alike.

    In any unit of value: also where the log price is 0.
    """
    kinks, dear = Kinks(Shannon(), np.full(3, 1e8), np.full((1, 3), 1e5)), 1e3 * cheap
    share, price = clear_curves(stepped(1e5, cheap, dear), (np.full(3, 1.0), np.full(3, 1e6)), 4e5, kinks)
    assert share.sum() == pytest.approx(4e5, rel=1e-12)
    assert (share >= 1e5 * (1 - 1e-9)).all()
    assert price == pytest.approx(cheap, rel=1e-9)
    share, price = clear_curves(stepped(1e5, cheap, dear), (np.full(3, 1.0), np.full(3, 1e6)), 3e5, kinks)
    assert share == pytest.approx(np.full(3, 1e5), rel=1e-9)
    assert cheap * (1 - 1e-9) <= price <= dear * (1 + 1e-9)
    share, price = clear_curves(stepped(1e5, cheap, dear), (np.full(3, 1.0), np.full(3, 1e6)), 2e5, kinks)
    assert share == pytest.approx(np.full(3, 2e5 / 3), rel=1e-9)  # tied: the same fraction of the interval
    assert price == pytest.approx(dear, rel=1e-9)


def test_jumps_that_are_known_are_not_searched_for():
    """The first is worth less than the others up to its jump: it gets what they leave, and they hold theirs."""
    for jump in np.array([[1.1e5, 0.7e5, 0.9e5], [1e3, 2e5, 6.9e4]]):
        asked = Asked(stepped(jump, 1e-6, np.array([1e-3, 2e-3, 4e-3])))
        kinks = Kinks(Shannon(), np.full(3, 1e8), jump[None, :])
        share, price = clear_curves(asked, (np.full(3, 1.0), np.full(3, 1e6)), jump.sum() - 0.5 * jump[0], kinks)
        assert share == pytest.approx(jump * [0.5, 1.0, 1.0], rel=1e-9)
        assert price == pytest.approx(1e-3, rel=1e-9)
        assert asked.times <= 3


def test_jumps_that_nobody_knows_of_are_found():
    share, price = clear_curves(stepped(np.array([1.1e5, 0.7e5, 0.9e5]), 1e-6, 1e-3), (np.full(3, 1.0), np.full(3, 1e6)), 2.7e5, no_kinks())
    assert share == pytest.approx([1.1e5, 0.7e5, 0.9e5], rel=1e-9)
    assert 1e-6 * (1 - 1e-9) <= price <= 1e-3 * (1 + 1e-9)


def test_bandwidth_beyond_what_is_worth_anything_is_free():
    def heights(bandwidth_hz):
        left = np.where(bandwidth_hz <= 1e5, np.log(1.0 / bandwidth_hz), FLOOR)
        return left, np.where(bandwidth_hz < 1e5, left, FLOOR)

    kinks = Kinks(Shannon(), np.full(2, 1e8), np.full((1, 2), 1e5))
    share, price = clear_curves(heights, (np.full(2, 1.0), np.full(2, 1e6)), 4e5, kinks)
    assert price == 0.0
    assert (share >= 1e5 * (1 - 1e-9)).all()
    assert share.sum() <= 4e5 * (1 + 1e-12)


def test_kinks_of_a_rate():
    """A truncated rate bends where its cap begins and where the link is too weak; whole blocks are tried inside of a bracket."""
    snr = np.array([1e6, 1e8])
    rate = TruncatedShannon()
    expected = np.log([snr / rate.snr_cap, snr / rate.snr_min])
    assert Kinks(rate, snr).log_known == pytest.approx(expected)
    assert Kinks(Blocks(rate, 1e5), snr, np.full((1, 2), 3e5)).log_known == pytest.approx(np.vstack([expected, np.log(np.full(2, 3e5))]))
    assert Kinks(Shannon(), snr).log_known.shape == (0, 2)
    below, above = np.log([2.2e5, 3.1e5, 3.6e5]), np.log([4.9e5, 3.9e5, 3.9e5])
    middle = np.sqrt([2.2e5 * 4.9e5, 3.1e5 * 3.9e5, 3.6e5 * 3.9e5])
    assert np.exp(Kinks(Blocks(rate, 1e5), snr).inside(below, above)) == pytest.approx([3e5, *middle[1:]])
    assert np.exp(Kinks(rate, snr).inside(below, above)) == pytest.approx(middle)


@pytest.mark.parametrize("power", [1, 3, 9])
def test_bracketed_roots(power):
    """Rising functions x^p - c, from smooth to flat; those that are not asked for keep their lower end."""
    at, asked = np.array([0.3, 0.9, 1.7, 0.5]), []

    def function(x):
        asked.append(1)
        return x**power - at**power

    found = bracketed_root(function, np.full(4, 0.1), np.full(4, 2.0), np.array([True, True, True, False]))
    assert found[:3] == pytest.approx(at[:3], rel=1e-15)
    assert found[3] == 0.1
    assert len(asked) <= 16  # halving alone: 53


@pytest.mark.parametrize(("functions", "looks"), [
    ((lambda x: x, lambda x: x**3 + 0.1 * x, np.expm1, np.tanh), 9),
    ((lambda x: np.where(x < 0, 1e-3, 1e3) * x, lambda x: np.where(x < 0, 1e3, 1e-3) * x), 69),
    ((lambda x: x**3, lambda x: x**9), 58),
    ((np.sign, np.cbrt), 54),
], ids=["gentle", "kinked", "flat", "steep"])  # fmt: skip
def test_roots_of_no_kind_take_much_longer_than_by_halving(functions, looks):
    """On average over roots all over the bracket; halving takes 54. Smooth ones take a sixth, kinked ones a quarter more."""

    def taken(function, root):
        asked = []
        found = bracketed_root(lambda x: asked.append(1) or function(x - root), np.full(1, 0.1), np.full(1, 2.0), np.ones(1, bool))
        assert found[0] == pytest.approx(root, rel=1e-15)
        return len(asked)

    assert np.mean([taken(function, root) for function in functions for root in (0.11, 0.3, 0.7, 1.0, 1.3, 1.9, 1.999)]) <= looks


def test_a_root_at_a_jump():
    def function(x):
        return np.where(x < 0.7, -1.0, 1.0)

    assert bracketed_root(function, np.zeros(1), np.full(1, 2.0), np.ones(1, bool))[0] == pytest.approx(0.7, rel=1e-15)


@pytest.mark.parametrize("end", [0.1, 2.0])
def test_a_root_at_an_end(end):
    found = bracketed_root(lambda x: x - end, np.full(1, 0.1), np.full(1, 2.0), np.ones(1, bool))
    assert found[0] == pytest.approx(end, rel=1e-15)
