"""Shadowing and line of sight against the standard's statistics: many seeds at one place, Rice's formula along walks."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest

from cosim.net.los import sight_field
from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro
from cosim.net.shadowing import CorrelatedShadowing
from cosim.rng import Streams

MODELS = {"UMa": UrbanMacro(), "UMi": UrbanMicro(), "RMa": RuralMacro()}
FULL = pytest.mark.full


@pytest.mark.parametrize("seeds", [3000, pytest.param(25_000, marks=FULL)])
def test_shadowing_sigma_at_one_place(within, seeds):
    # standard error of a standard deviation 1/sqrt(2 n): 1.3 % for 3000 seeds (tolerance: four), 0.45 % for 25,000 (2 %)
    place, los = np.array([123.0]), np.array([False])
    values = np.array(
        [CorrelatedShadowing().start(MODELS["UMa"], 0, Streams(s)).loss_db(place, 2 * place, los, np.array([6.0]))[0] for s in range(seeds)]
    )
    within(
        f"shadowing sigma at one place, {seeds} seeds",
        "6 dB (UMa NLOS)",
        values.std() / 6.0 - 1,
        0.02 if seeds > 20_000 else 0.052,
        samples=seeds,
    )
    within(
        f"shadowing at one place, {seeds} seeds",
        "normal, Kolmogorov-Smirnov, 1 %",
        kstest(values / 6.0, "norm").statistic,
        1.63 / np.sqrt(seeds),
        samples=seeds,
    )


@pytest.mark.parametrize(("seeds", "tolerance"), [(100, 0.04), pytest.param(600, 0.03, marks=FULL)])
@pytest.mark.parametrize("los", [True, False])
def test_shadowing_correlation(within, los, seeds, tolerance):
    # per seed 500 pairs in an area of (100 d_corr)^2, in random directions; products of unit normals have a standard deviation of
    # at most sqrt(2), places are not independent (twice that): 0.013 for 100 seeds, 0.005 for 600; three of them, or the 0.03
    model, rng, lags = MODELS["UMa"], np.random.default_rng(3), np.array([0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0])
    scale_m, total = model.shadowing_correlation_m(los=los), np.zeros(lags.size)
    for seed in range(seeds):
        x, y = rng.uniform(0, 100 * scale_m, (2, 1, 500))
        angle = rng.uniform(0, 2 * np.pi, (1, 500))
        x, y = x + scale_m * lags[:, None] * np.cos(angle), y + scale_m * lags[:, None] * np.sin(angle)
        value = CorrelatedShadowing().start(model, 0, Streams(seed)).loss_db(x, y, np.full(x.shape, los), np.ones(x.shape))
        total += (value * value[0]).mean(axis=1) / seeds
    state = "LOS" if los else "NLOS"
    within(f"shadowing correlation UMa {state}, {seeds} seeds", "exp(-d/d_corr)", total - np.exp(-lags), tolerance, samples=500 * seeds)


@pytest.mark.parametrize("seeds", [4000, pytest.param(100_000, marks=FULL)])
@pytest.mark.parametrize(("name", "distance_m"), [("UMa", 100.0), ("UMi", 60.0), ("RMa", 900.0)])
def test_los_fraction_over_seeds(within, name, distance_m, seeds):
    # independent seeds, one place each: three standard errors
    model, x = MODELS[name], np.array([distance_m])
    probability = float(model.los_probability(distance_m))
    seen = np.mean([sight_field(model.los_correlation_m, 0, Streams(s)).weight(x, 0 * x, np.array([probability]))[0] for s in range(seeds)])
    error = np.sqrt(probability * (1 - probability) / seeds)
    within(
        f"LOS fraction {name} at {distance_m:g} m, {seeds} seeds",
        "table 7.4.2-1, in standard errors",
        (seen - probability) / error,
        3.0,
        samples=seeds,
    )


@pytest.mark.parametrize("probability", [0.5, 0.2, 0.05])
def test_los_changes_per_kilometre(within, probability):
    # Rice: sqrt(2) e^(-F^2/2) / (pi d_corr) per metre, F = Phi^-1(P). 150 fields x 4 walks of 1 km, steps of 1 m: 5400, 3800 and 1400
    # changes expected; standard error at most 4 % (walks in one field are not quite independent), tolerance 10 %
    walk, changes = np.arange(0.0, 1000.0), 0
    x, y = np.tile(walk, (4, 1)), np.repeat(np.arange(4.0)[:, None] * 1e4, walk.size, axis=1)
    for seed in range(150):
        seen = sight_field(50.0, 0, Streams(seed)).weight(x, y, np.full(x.shape, probability))
        changes += np.count_nonzero(seen[:, 1:] != seen[:, :-1])
    expected = 1000 * np.sqrt(2) * np.exp(-(ndtri(probability) ** 2) / 2) / (np.pi * 50.0)
    found = changes / (150 * 4 * 0.999)
    within(
        f"changes of LOS per km at P = {probability:g}: {expected:.2f} expected", "Rice's formula", found / expected - 1, 0.10, samples=600
    )
