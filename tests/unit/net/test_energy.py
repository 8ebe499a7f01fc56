import numpy as np
import pytest

from cosim.net.energy import compute_energy_j, transmit_energy_j


def test_compute_energy_is_kappa_cycles_frequency_squared():
    # 2e9 FLOP at 4 FLOP/cycle = 5e8 cycles; 1e-28 * 5e8 * (1e9)^2 = 0.05 J, and at 2 GHz four times that
    energy = compute_energy_j(2e9, np.array([1e9, 2e9]), flops_per_cycle=4.0, capacitance=1e-28)
    assert energy == pytest.approx([0.05, 0.2])


def test_transmit_energy_is_drawn_power_times_airtime():
    assert transmit_energy_j([0.0, 2.0], power_w=0.2, efficiency=0.4) == pytest.approx([0.0, 1.0])
