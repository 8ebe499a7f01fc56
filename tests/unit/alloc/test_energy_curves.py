"""y(B) under an energy budget: against a search over powers and clocks, its slope, and that it is concave."""

import dataclasses
import itertools

import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz
from cosim.alloc.energy import at_settings, planned_energy_j
from cosim.alloc.energy_curves import EnergyCurves, curve_range_hz
from cosim.errors import AllocationError
from cosim.rate import Blocks, ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

HOMOGENEOUS = [Shannon(), ErgodicRayleigh(), TruncatedShannon(), ErgodicTruncated(TruncatedShannon())]


def kept_by_search(problem, device, share, points=400):
    """Largest y of one device over a grid of powers and clocks: the least of what time and energy allow."""
    limit = problem.energy
    power = np.geomspace(limit.power_min_w[device] / limit.power_w[device], 1.0, points)[:, None]
    clock = np.geomspace(limit.frequency_min_hz[device] / limit.frequency_hz[device], 1.0, points)[None, :]
    per_bit = 1 / problem.rate.value(share, problem.snr_hz[device] * power)
    own, work = limit.fixed_compute_s[device], problem.prunable_time_s[device]
    time_left = problem.latency_threshold_s - problem.fixed_time_s[device] + own - own / clock - problem.fixed_bits[device] * per_bit
    draw, cost = limit.power_w[device] / limit.efficiency * power, limit.compute_power_w[device] * clock**2
    energy_left = limit.budget_j[device] - cost * own - draw * problem.fixed_bits[device] * per_bit
    by_time = time_left / (work / clock + problem.prunable_bits[device] * per_bit)
    return np.minimum(by_time, energy_left / (cost * work + draw * problem.prunable_bits[device] * per_bit)).max()


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_no_power_and_clock_keeps_more(random_problem, with_energy, rate, share):
    rng = np.random.default_rng(1)
    problem = with_energy(random_problem(rng, 4, rate), rng, share)
    least, most = curve_range_hz(problem, EnergyCurves(problem))
    middle = np.sqrt(np.where(np.isfinite(least), least, 0.1 * most) * most)
    found = EnergyCurves(problem).at(middle)
    for device in range(4):
        search = kept_by_search(problem, device, middle[device])
        assert search <= found.kept[device] + 1e-12
        assert found.kept[device] <= search + 0.02


def test_the_choice_keeps_time_and_energy(random_problem, with_energy, rate):
    rng = np.random.default_rng(2)
    problem = with_energy(random_problem(rng, 8, rate), rng, 0.6)
    share = np.full(8, problem.bandwidth_hz / 8)
    found, limit = EnergyCurves(problem).at(share), problem.energy
    power, clock, ratio = found.power * limit.power_w, found.clock * limit.frequency_hz, 1 - found.kept
    spent = planned_energy_j(problem, ratio, share, power_w=power, frequency_hz=clock)
    assert (spent <= limit.budget_j * (1 + 1e-12)).all()
    slow = at_settings(problem, power, clock)
    upload_s = (problem.fixed_bits + found.kept * problem.prunable_bits) / problem.rate.value(share, slow.snr_hz)
    assert (slow.fixed_time_s + found.kept * slow.prunable_time_s + upload_s <= problem.latency_threshold_s * (1 + 1e-12)).all()


@pytest.mark.parametrize("rate", HOMOGENEOUS, ids=repr)
@pytest.mark.parametrize("share", [0.9, 0.5])
@pytest.mark.parametrize(
    "fields",
    [{}, {"frequency_hz": np.full(12, 1e9), "frequency_min_hz": np.full(12, 9e8)}, {"power_min_w": np.full(12, 0.1)}],
    ids=["free", "clocks that stay high", "powers that stay high"],
)
def test_concave_with_the_slope_it_says(random_problem, with_energy, rate, share, fields):
    """Each chord lies between the slope to the right of its left end and the slope to the left of its right end."""
    rng = np.random.default_rng(3)
    problem = with_energy(random_problem(rng, 12, rate), rng, share, **fields)
    curves = EnergyCurves(problem)
    least, most = bandwidth_range_hz(problem)
    bandwidth = np.geomspace(0.5 * least, np.minimum(most, problem.bandwidth_hz), 300)
    found = curves.at(bandwidth)
    chord = np.diff(found.kept, axis=0) / np.diff(bandwidth, axis=0)
    noise = 1e-14 / np.diff(bandwidth, axis=0)
    known = found.kept[:-1] > 0
    assert (found.left_per_hz >= found.right_per_hz * (1 - 1e-9)).all()
    assert (chord - found.right_per_hz[:-1] <= 1e-9 * chord + noise)[known].all()
    assert (found.left_per_hz[1:] - chord <= 1e-9 * chord + noise)[known].all()


def test_who_has_nothing_to_send_needs_no_link(random_problem, with_energy):
    """Only computing counts: as much is kept without any SNR as with it."""
    rng = np.random.default_rng(3)
    nothing = {"fixed_bits": np.zeros(4), "prunable_bits": np.zeros(4)}
    problem = with_energy(dataclasses.replace(random_problem(rng, 4, Shannon(), compute=9.0), **nothing), rng, 0.5)
    mute = dataclasses.replace(problem, snr_hz=np.zeros(4))
    one, other = (EnergyCurves(made).at(np.full(4, 1e5)) for made in (problem, mute))
    assert np.isfinite(one.kept).all()
    assert other.kept == pytest.approx(one.kept, rel=1e-12)


def test_whole_blocks_keep_less_than_the_rate_they_interpolate(random_problem, with_energy):
    rng = np.random.default_rng(4)
    problem = with_energy(random_problem(rng, 5, Blocks(Shannon(), 360e3)), rng, 0.7)
    smooth = dataclasses.replace(problem, rate=Shannon())
    share = np.linspace(4e5, 3e6, 50)[:, None] * np.ones(5)
    blocks, bound = (EnergyCurves(made).at(share).kept for made in (problem, smooth))
    assert (blocks <= bound + 1e-12).all()
    whole = 360e3 * np.arange(1, 8)[:, None] * np.ones(5)
    at_ends, smooth_ends = (EnergyCurves(made).at(whole).kept for made in (problem, smooth))
    assert at_ends == pytest.approx(smooth_ends, abs=1e-12)


def test_range_ends_where_the_curve_says(random_problem, with_energy):
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 8, Shannon()), rng, 0.8)
    curves = EnergyCurves(problem)
    least, most = curve_range_hz(problem, curves)
    inside = np.isfinite(least)
    assert inside.sum() >= 4
    at_least = curves.at(np.where(inside, least, 1.0)).kept
    assert at_least[inside] == pytest.approx(1 - problem.prune_max[inside], abs=1e-12)
    full = most < 2 * problem.bandwidth_hz
    assert curves.at(most).kept[full] == pytest.approx(1.0, abs=1e-12)


def test_few_looks_find_the_range(random_problem, with_energy, monkeypatch):
    """Newton's method in 1/B, for all devices at once: eight looks at the curves on average, where halving would take some 50."""
    looks = []
    for seed, share in itertools.product(range(5), (0.3, 0.5, 0.8, 0.95)):
        rng = np.random.default_rng(seed)
        problem = with_energy(random_problem(rng, 8, Shannon()), rng, share)
        curves = EnergyCurves(problem)
        monkeypatch.setattr(curves, "at", lambda bandwidth_hz, look=curves.at: looks.append(1) or look(bandwidth_hz))
        curve_range_hz(problem, curves)
    assert len(looks) <= 8 * 20


def test_nobody_is_offered_more_than_twice_the_band(random_problem, with_energy):
    """Keeping everything may need more than there is by any measure: what a device may have ends at twice the band."""
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 8, Shannon()), rng, 0.8)
    most = curve_range_hz(problem, EnergyCurves(problem))[1]
    device = int(np.argmax(np.where(most < 2 * problem.bandwidth_hz, most, 0.0)))
    for part in (1.5, 2.5, 3.5):
        scarce = dataclasses.replace(problem, bandwidth_hz=most[device] / part)
        assert curve_range_hz(scarce, EnergyCurves(scarce))[1][device] == pytest.approx(min(part, 2.0) * scarce.bandwidth_hz, rel=1e-9)


def test_partial_power_control_is_refused(random_problem, with_energy):
    from cosim.net.power import OpenLoop

    problem = with_energy(random_problem(np.random.default_rng(6), 3, Shannon()), np.random.default_rng(7), 0.8)
    controlled = OpenLoop(alpha=0.8).start(23.0, 1e14).planning_rate(Shannon())
    for rate in (controlled, Blocks(controlled, 180e3)):
        with pytest.raises(AllocationError, match="power control"):
            EnergyCurves(dataclasses.replace(problem, rate=rate))
