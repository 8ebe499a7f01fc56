"""Energy budgets: certificates, limits, edges."""

import dataclasses
import itertools

import numpy as np
import pytest

from cosim.alloc.energy import at_settings, planned_energy_j
from cosim.alloc.energy_curves import EnergyCurves, curve_range_hz
from cosim.alloc.kkt import KKT
from cosim.alloc.kkt_energy import KKTEnergy, _certify, least_threshold_within_budget
from cosim.alloc.problem import check_allocation, least_feasible_threshold
from cosim.errors import AllocationError
from cosim.interfaces import EnergyLimit
from cosim.rate import Blocks, Shannon, TruncatedShannon

RNG = np.random.default_rng(0)  # nothing draws from it


def spent_j(problem, answer):
    return planned_energy_j(
        problem, answer.prune_ratio, answer.bandwidth_hz, power_w=answer.transmit_power_w, frequency_hz=answer.frequency_hz
    )


def test_whole_blocks_are_measured_by_the_rate_that_they_interpolate(random_problem, with_energy):
    """The gap is how far the objective is above what nobody can go below, over the terms of the dual function."""
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 4, Blocks(Shannon(), 180e3)), rng, 0.9)
    answer = KKTEnergy().allocate(problem, RNG)
    smooth = KKTEnergy().allocate(dataclasses.replace(problem, rate=Shannon()), RNG)
    assert answer.feasible
    assert answer.objective > smooth.objective
    scale = problem.weight.sum() + answer.multiplier * problem.bandwidth_hz
    assert answer.certificate.gap == pytest.approx((answer.objective - smooth.objective) / scale, rel=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_the_certificate_proves_the_optimum(random_problem, with_energy, rate, share):
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 4, rate), rng, share)
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    found = answer.certificate
    if isinstance(rate, Blocks):  # the gap is a bound with a rate that is nowhere less
        assert max(found.primal, found.dual, found.complementarity) <= 1e-9
        assert found.gap <= 0.02
    else:
        assert found.worst <= 1e-9
    assert (spent_j(problem, answer) <= problem.energy.budget_j * (1 + 1e-9)).all()


def test_without_limit_it_is_kkt_at_full_power_and_clock(random_problem, with_energy, rate):
    rng = np.random.default_rng(6)
    problem = with_energy(random_problem(rng, 8, rate), rng, np.inf)
    answer, free = KKTEnergy().allocate(problem, RNG), KKT().allocate(problem, RNG)
    assert answer.objective == pytest.approx(free.objective, rel=1e-9)
    assert np.array_equal(answer.transmit_power_w, problem.energy.power_w)
    assert np.array_equal(answer.frequency_hz, problem.energy.frequency_hz)


def test_a_problem_without_an_energy_record_is_that_of_kkt(problem):
    answer = KKTEnergy().allocate(problem(4), RNG)
    assert answer.transmit_power_w is None
    assert np.array_equal(answer.bandwidth_hz, KKT().allocate(problem(4), RNG).bandwidth_hz)


def test_more_energy_never_prunes_more(random_problem, with_energy):
    rng = np.random.default_rng(7)
    problem = random_problem(rng, 6, Shannon())
    made = with_energy(problem, np.random.default_rng(8), 1.0)
    budgets = [
        dataclasses.replace(made, energy=dataclasses.replace(made.energy, budget_j=share * made.energy.budget_j))
        for share in (0.5, 0.7, 0.9, 1.1, 2.0)
    ]
    objectives = [KKTEnergy().allocate(made, RNG).objective for made in budgets]
    assert all(more <= less * (1 + 1e-15) for less, more in itertools.pairwise(objectives))  # the last two are alike but for rounding
    assert objectives[-1] < 0.9 * objectives[0]


def test_an_upload_that_may_send_half_of_the_time_draws_power_half_of_the_time(random_problem, with_energy):
    """TDD: the rate has taken the share in. Half the share with twice the power drawn per radiated watt is the same problem."""
    made = with_energy(random_problem(np.random.default_rng(7), 6, Shannon()), np.random.default_rng(8), 0.5)
    half = dataclasses.replace(made, energy=dataclasses.replace(made.energy, uplink_share=0.5))
    same = dataclasses.replace(half, energy=dataclasses.replace(half.energy, efficiency=half.energy.efficiency / 2))
    less, whole = KKTEnergy().allocate(half, RNG), KKTEnergy().allocate(made, RNG)
    check_allocation(half, less)
    assert less.objective < 0.99 * whole.objective
    assert KKTEnergy().allocate(same, RNG).objective == pytest.approx(whole.objective, rel=1e-12)


@pytest.mark.parametrize("rate", [Shannon(), Blocks(Shannon(), 180e3)], ids=repr)
def test_the_least_threshold_within_budgets_is_where_everyone_can_be_served(random_problem, with_energy, rate):
    made = with_energy(random_problem(np.random.default_rng(3), 5, rate), np.random.default_rng(8), 0.4)
    least_s = least_threshold_within_budget(made)
    assert least_s > 1.01 * least_feasible_threshold(made)  # the budgets bind
    served = [KKTEnergy().allocate(dataclasses.replace(made, latency_threshold_s=t * least_s), RNG).feasible for t in (0.9999, 1.0001)]
    assert served == [False, True]


def test_a_budget_may_ask_for_several_times_the_least_threshold_of_full_power(random_problem, with_energy):
    """So scarce that all must turn their clocks far down, and two cannot be served at any threshold."""
    made = with_energy(random_problem(np.random.default_rng(3), 5, Shannon()), np.random.default_rng(8), 0.01)
    least_s = least_threshold_within_budget(made)
    assert least_s > 2.0 * least_feasible_threshold(made)
    served = [
        KKTEnergy().allocate(dataclasses.replace(made, latency_threshold_s=t * least_s), RNG).selected.sum() for t in (0.9999, 1.0001, 9.0)
    ]
    assert served == [2, 3, 3]


def test_without_a_budget_that_binds_the_least_threshold_is_that_of_full_power(random_problem, with_energy):
    made = with_energy(random_problem(np.random.default_rng(3), 5, Shannon()), np.random.default_rng(8), 1e6)
    assert least_threshold_within_budget(made) == pytest.approx(least_feasible_threshold(made), rel=2e-6)


def test_a_device_whose_budget_is_never_enough_does_not_count_for_the_least_threshold(random_problem, with_energy):
    made = with_energy(random_problem(np.random.default_rng(3), 1, Shannon()), np.random.default_rng(8), 1e-12)
    assert least_threshold_within_budget(made) == 0.0


def test_a_budget_is_worth_turning_power_and_clock_down(random_problem, with_energy):
    """Keeping the same budget by pruning alone, at full power and clock, costs more."""
    rng = np.random.default_rng(9)
    problem = with_energy(random_problem(rng, 6, Shannon()), rng, 0.7)
    limit = problem.energy
    fixed = dataclasses.replace(limit, frequency_min_hz=limit.frequency_hz, power_min_w=limit.power_w)
    free, stiff = (KKTEnergy().allocate(dataclasses.replace(problem, energy=energy), RNG) for energy in (limit, fixed))
    check_allocation(dataclasses.replace(problem, energy=fixed), stiff)
    assert np.array_equal(stiff.transmit_power_w[stiff.selected], limit.power_w[stiff.selected])
    assert stiff.certificate.worst <= 1e-9
    assert free.objective < 0.95 * stiff.objective


def test_who_cannot_keep_the_budget_is_left_out(random_problem, with_energy):
    rng = np.random.default_rng(10)
    problem = with_energy(random_problem(rng, 5, Shannon()), rng, 1.0)
    poor = np.arange(5) == 2
    limit = dataclasses.replace(problem.energy, budget_j=np.where(poor, 1e-9, problem.energy.budget_j))
    answer = KKTEnergy().allocate(dataclasses.replace(problem, energy=limit), RNG)
    assert answer.selected.tolist() == (~poor).tolist()
    assert not answer.feasible
    assert np.isnan(answer.transmit_power_w[2])
    assert answer.certificate.worst <= 1e-9


@pytest.mark.parametrize("fields", [
    {"compute_power_w": np.zeros(4)},
    {"fixed_compute_s": np.zeros(4)},
    {"efficiency": 1.0},
    {"frequency_min_hz": np.array([1e8, 1e6, 1e9, 1e9])},
], ids=["computing is free", "nothing fixed to compute", "perfect amplifier", "clock ranges of many widths"])  # fmt: skip
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"prunable_time_s": np.zeros(4)},
        {"fixed_bits": np.zeros(4)},
        {"prunable_bits": np.zeros(4)},
        {"fixed_bits": np.zeros(4), "prune_max": np.ones(4)},
    ],
    ids=str,
)
def test_edges(random_problem, with_energy, fields, change):
    rng = np.random.default_rng(11)
    problem = dataclasses.replace(random_problem(rng, 4, Shannon()), **change)
    problem = with_energy(problem, rng, 0.8, **{"frequency_hz": np.full(4, 1e9), "frequency_min_hz": np.full(4, 1e8)} | fields)
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.certificate.worst <= 1e-9


def test_who_can_be_pruned_away_and_hardly_counts_sends_nothing(random_problem, with_energy):
    rng = np.random.default_rng(11)
    problem = random_problem(rng, 4, Shannon(), tightness=0.2)
    problem = dataclasses.replace(problem, fixed_bits=np.zeros(4), prune_max=np.ones(4), weight=np.array([1e-9, 1.0, 1.0, 1.0]))
    problem = with_energy(problem, rng, 0.8)
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.bandwidth_hz[0] == 0
    assert answer.prune_ratio[0] == 1
    assert answer.certificate.worst <= 1e-9


@pytest.mark.parametrize("fields", [{"weight": np.zeros(4)}, {"prune_max": np.zeros(4)}], ids=str)
def test_where_bandwidth_is_worth_nothing_its_price_is_zero(random_problem, with_energy, fields):
    rng = np.random.default_rng(11)
    problem = with_energy(dataclasses.replace(random_problem(rng, 4, Shannon(), tightness=1.5), **fields), rng, 1.5)
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.feasible
    assert answer.multiplier == 0
    assert answer.certificate.worst <= 1e-9


def test_who_gets_no_bandwidth_turns_its_clock_down_for_what_is_fixed(random_problem, with_energy):
    """At full clock what it computes in any case would take twice its budget, at the least clock more than its time."""
    rng = np.random.default_rng(11)
    problem = random_problem(rng, 4, Shannon(), tightness=0.2)
    problem = dataclasses.replace(problem, fixed_bits=np.zeros(4), prune_max=np.ones(4), weight=np.array([1e-9, 1.0, 1.0, 1.0]))
    problem = with_energy(problem, rng, 0.8)
    limit, first = problem.energy, np.arange(4) == 0
    own_s = np.where(first, 0.5 * problem.latency_threshold_s, limit.fixed_compute_s)
    budget_j = np.where(first, 0.5 * limit.compute_power_w * own_s, limit.budget_j)
    problem = dataclasses.replace(
        problem,
        fixed_time_s=np.where(first, own_s, problem.fixed_time_s),
        energy=dataclasses.replace(limit, fixed_compute_s=own_s, budget_j=budget_j),
    )
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.feasible
    assert answer.bandwidth_hz[0] == 0
    assert 0.5 <= answer.frequency_hz[0] / limit.frequency_hz[0] <= np.sqrt(0.5)


@pytest.mark.parametrize(("changes", "residual", "found"), [
    ({"prune_ratio": 0.01}, "complementarity", 0.01),
    ({"prune_ratio": -0.01}, "primal", 0.001),
    ({"bandwidth_hz": 1e4}, "stationarity", 1e-4),
    ({"bandwidth_hz": -1e4}, "stationarity", 1e-4),
    ({"transmit_power_w": 0.02}, "primal", 0.001),
    ({"frequency_hz": 1e8}, "primal", 0.001),
    ({"latency_s": 0.02}, "primal", 0.01),
], ids=str)  # fmt: skip
def test_the_certificate_notices(random_problem, with_energy, changes, residual, found):
    """Of the optimum, one thing of one device is changed: pruned or powered too much or too little, late, fed from another's band or short."""
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 4, Shannon()), rng, 0.5)
    answer = KKTEnergy().allocate(problem, RNG)
    span = curve_range_hz(problem, EnergyCurves(problem))
    inside = (answer.bandwidth_hz > 1.1 * span[0]) & (answer.bandwidth_hz < 0.9 * span[1]) & (answer.prune_ratio > 0.02)
    inside &= answer.prune_ratio < problem.prune_max - 0.02
    device, other = np.flatnonzero(inside)[:2]
    changed = {}
    for name, difference in changes.items():
        values = getattr(answer, name).copy()
        values[device] += difference
        if name == "bandwidth_hz" and difference > 0:
            values[other] -= difference
        changed[name] = values
    other = dataclasses.replace(answer, **changed)
    assert _certify(problem, answer, span).worst <= 1e-9
    assert getattr(_certify(problem, other, span), residual) >= 0.99 * found


@pytest.mark.parametrize(("name", "factor", "found"), [
    ("transmit_power_w", 1.1, 0.1),
    ("transmit_power_w", 0.4, 0.1),
    ("frequency_hz", 1.1, 0.1),
    ("frequency_hz", 0.05, 0.05),
], ids=str)  # fmt: skip
def test_the_certificate_notices_what_is_out_of_range_though_it_harms_nobody(random_problem, with_energy, name, factor, found):
    """Budgets without limit; clocks from a tenth of the largest, powers from a half."""
    rng = np.random.default_rng(6)
    problem = random_problem(rng, 4, Shannon())
    problem = with_energy(problem, rng, np.inf, frequency_hz=np.full(4, 1e9), frequency_min_hz=np.full(4, 1e8), power_min_w=np.full(4, 0.1))
    answer = KKTEnergy().allocate(problem, RNG)
    other = dataclasses.replace(answer, **{name: np.where(np.arange(4) == 1, factor, 1.0) * getattr(answer, name)})
    span = curve_range_hz(problem, EnergyCurves(problem))
    assert _certify(problem, answer, span).primal <= 1e-12
    assert _certify(problem, other, span).primal == pytest.approx(found, rel=1e-9)


def test_the_certificate_notices_more_than_the_band(random_problem, with_energy):
    rng = np.random.default_rng(5)
    problem = with_energy(random_problem(rng, 4, Shannon()), rng, 0.5)
    answer = KKTEnergy().allocate(problem, RNG)
    wide = dataclasses.replace(answer, bandwidth_hz=1.01 * answer.bandwidth_hz)
    span = curve_range_hz(problem, EnergyCurves(problem))
    assert _certify(problem, wide, span).primal == pytest.approx(1.01 * answer.bandwidth_hz.sum() / problem.bandwidth_hz - 1.0, rel=1e-9)


def test_units_do_not_matter(random_problem, with_energy):
    rng = np.random.default_rng(12)
    problem = with_energy(random_problem(rng, 5, Shannon()), rng, 0.7)
    limit = problem.energy
    milli = {name: 1e3 * getattr(limit, name) for name in ("budget_j", "compute_power_w", "power_w", "power_min_w")}
    one = KKTEnergy().allocate(problem, RNG)
    other = KKTEnergy().allocate(dataclasses.replace(problem, energy=dataclasses.replace(limit, **milli)), RNG)
    assert other.objective == pytest.approx(one.objective, rel=1e-9)
    assert other.bandwidth_hz == pytest.approx(one.bandwidth_hz, rel=1e-6)


@pytest.mark.parametrize(("hertz", "seconds"), [(1e-9, 1.0), (1.0, 1e3), (1e-9, 1e3)])
def test_units_of_bandwidth_and_time_do_not_matter(random_problem, with_energy, hertz, seconds):
    rng = np.random.default_rng(12)
    problem = with_energy(random_problem(rng, 5, Shannon()), rng, 0.7)
    unit = {"fixed_bits": hertz * seconds, "prunable_bits": hertz * seconds, "snr_hz": hertz, "bandwidth_hz": hertz}
    unit |= dict.fromkeys(("fixed_time_s", "prunable_time_s", "latency_threshold_s"), seconds)
    limit = {name: seconds * getattr(problem.energy, name) for name in ("budget_j", "fixed_compute_s")}
    made = dataclasses.replace(
        problem,
        energy=dataclasses.replace(problem.energy, **limit),
        **{name: factor * getattr(problem, name) for name, factor in unit.items()},
    )
    one, other = (KKTEnergy().allocate(some, RNG) for some in (problem, made))
    assert other.certificate.worst <= 1e-9
    assert other.objective == pytest.approx(one.objective, rel=1e-9)
    assert other.bandwidth_hz == pytest.approx(hertz * one.bandwidth_hz, rel=1e-6)
    assert other.transmit_power_w == pytest.approx(one.transmit_power_w, rel=1e-6)
    assert other.frequency_hz == pytest.approx(one.frequency_hz, rel=1e-6)
    assert least_threshold_within_budget(made) == pytest.approx(seconds * least_threshold_within_budget(problem), rel=3e-6)


def test_straight_rates_too(random_problem, with_energy):
    """A capped rate makes power beyond the cap useless: it is turned down to where the cap begins to bind."""
    rng = np.random.default_rng(13)
    problem = with_energy(random_problem(rng, 5, TruncatedShannon()), rng, 0.9)
    problem = dataclasses.replace(problem, snr_hz=np.full(5, 1e11))
    answer = KKTEnergy().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.certificate.worst <= 1e-9
    assert (answer.transmit_power_w < problem.energy.power_w).all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"transmit_power_w": None}, "belong together"),
    ({"transmit_power_w": lambda power: power[:-1]}, r"transmit_power_w has shape \(2,\), must be \(3,\)"),
    ({"transmit_power_w": lambda power: power * 3.0}, r"device \d+: transmit_power_w is above its largest \(.* against 0\.2, difference"),
    ({"frequency_hz": lambda clock: clock * 1e-3}, r"device \d+: frequency_hz is below its least"),
    ({"frequency_hz": lambda clock: clock * np.nan}, r"device \d+: frequency_hz is below its least"),
], ids=["one alone", "short", "loud", "slow", "nan"])  # fmt: skip
def test_broken_answers(random_problem, with_energy, changes, message):
    rng = np.random.default_rng(14)
    problem = with_energy(random_problem(rng, 3, Shannon()), rng, 0.9)
    answer = KKTEnergy().allocate(problem, RNG)
    changed = {name: change(getattr(answer, name)) if callable(change) else change for name, change in changes.items()}
    with pytest.raises(AllocationError, match=message):
        check_allocation(problem, dataclasses.replace(answer, **changed))


def test_a_plan_above_the_budget_is_refused(random_problem, with_energy):
    rng = np.random.default_rng(15)
    problem = with_energy(random_problem(rng, 3, Shannon()), rng, 0.6)
    answer = KKTEnergy().allocate(problem, RNG)
    less = np.where(np.arange(3) == 1, 0.9, 1.0) * problem.energy.budget_j
    with pytest.raises(AllocationError, match=r"device \d+: planned energy is above energy\.budget_j \(.*difference .*\); 1 device"):
        check_allocation(dataclasses.replace(problem, energy=dataclasses.replace(problem.energy, budget_j=less)), answer)
    with pytest.raises(AllocationError, match="no energy record"):
        check_allocation(dataclasses.replace(problem, energy=None), answer)


def test_settings_change_times_and_snr(problem):
    limit = EnergyLimit(
        *(np.full(1, value) for value in (1.0, 0.04, 2.0, 1e9, 1e8, 0.2, 1e-6)),
        efficiency=0.5,
    )
    made = problem(1, energy=limit)
    slow = at_settings(made, np.array([0.05]), np.array([5e8]))
    assert slow.snr_hz == pytest.approx(0.25 * made.snr_hz)
    assert slow.prunable_time_s == pytest.approx(0.2)
    assert slow.fixed_time_s == pytest.approx(0.14)
    # 2 W / 4 for (0.04 + 0.1) s at half the clock's speed, and 0.05 W / 0.5 for 1.1 Mbit at B log2(1 + s/4B)
    rate = 1e5 * np.log2(1 + 1e8 / 4 / 1e5)
    found = planned_energy_j(made, np.zeros(1), np.array([1e5]), power_w=np.array([0.05]), frequency_hz=np.array([5e8]))
    assert found == pytest.approx(0.5 * 0.14 + 0.1 * 1.1e6 / rate)


@pytest.mark.parametrize(("fields", "message"), [
    ({"budget_j": [1.0, 0.0]}, r"energy\.budget_j of device 1 is 0\.0, must be above 0"),
    ({"budget_j": [1.0, np.nan]}, r"energy\.budget_j of device 1 is nan, must be in \[0, inf\]"),
    ({"power_w": [0.2]}, r"energy\.power_w has shape \(1,\), but there are 2 device_ids"),
    ({"power_min_w": [0.1, 0.3]}, r"energy\.power_min_w of device 1 is 0\.3, must not be above energy\.power_w"),
    ({"frequency_min_hz": [0.0, 1e8]}, r"energy\.frequency_min_hz of device 0 is 0\.0, must be above 0"),
    ({"compute_power_w": [-1.0, 1.0]}, r"energy\.compute_power_w of device 0 is -1\.0"),
    ({"efficiency": 0.0}, r"energy\.efficiency is 0\.0, must be in \(0, 1\]"),
], ids=str)  # fmt: skip
def test_broken_records(problem, fields, message):
    same = {"budget_j": 1.0, "fixed_compute_s": 0.0, "compute_power_w": 1.0, "frequency_hz": 1e9, "frequency_min_hz": 1e8}
    same |= {"power_w": 0.2, "power_min_w": 1e-6}
    arrays = {name: np.full(2, value) for name, value in same.items()} | {"efficiency": 0.35}
    with pytest.raises(AllocationError, match=message):
        problem(2, energy=EnergyLimit(**arrays | fields))
