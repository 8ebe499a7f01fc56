import numpy as np
import pytest

from cosim.net.energy import EnergyBudget

CLOCK = np.array([1e9, 2e9])


def limit(budget, power_w=0.2):
    return budget.limit(np.array([0.1, 0.2]), CLOCK, power_w=power_w, efficiency=0.4, capacitance=1e-28)


def test_no_budget_no_limit():
    assert limit(EnergyBudget()) is None


def test_limits_of_devices():
    made = limit(EnergyBudget(budget_j=3.0, transmit_power_min_dbm=-30.0, frequency_min_share=0.25))
    assert made.budget_j.tolist() == [3.0, 3.0]
    assert made.compute_power_w == pytest.approx([0.1, 0.8])  # 1e-28 f^3
    assert made.frequency_min_hz == pytest.approx(0.25 * CLOCK)
    assert made.power_min_w == pytest.approx([1e-6, 1e-6])


def test_the_least_power_is_never_above_the_largest():
    assert limit(EnergyBudget(budget_j=1.0, transmit_power_min_dbm=10.0), power_w=1e-3).power_min_w.tolist() == [1e-3, 1e-3]
