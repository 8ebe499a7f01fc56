"""The scenario of docs/pruning.md: whole units removed inside the simulation."""

import pytest

import cosim


def simulate(out, **overrides):
    rounds = {"rounds": 2, "learning.trainer.global_steps": 1, "learning.trainer.personal_steps": 1}
    pairs = {name.replace("__", "."): value for name, value in overrides.items()}
    return cosim.run(cosim.Scenario.load("scenarios/narrow_12dev.yaml", overrides={**rounds, **pairs}), out=out, workers=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("narrow")


def test_rolling_windows_cover_everything_and_the_first_units_do_not(folder):
    rolling, ordered = simulate(folder / "rolling"), simulate(folder / "ordered", learning__pruner__kind="ordered")
    for run in (rolling, ordered):
        rows = run.devices
        assert (rows.status == "arrived").all()
        assert ((rows.prune_ratio >= 0.5) & (rows.prune_ratio < 0.6)).all()
        # no stragglers, so computing must fit into the plan; uploads may not, because of fading
        assert (rows.t_compute_s <= rows.t_planned_s).all()
    assert (rolling.rounds.uncovered_fraction == 0).all()
    assert (rolling.rounds.coverage_min >= 1).all()
    assert (ordered.rounds.uncovered_fraction > 0.4).all()
    assert (ordered.rounds.coverage_min == 0).all()


def test_narrow_networks_send_and_compute_about_half(folder):
    enough = {"rounds": 1, "round__latency_threshold": {"relative_to_unpruned": 2.0}}
    half, whole = simulate(folder / "half", **enough), simulate(folder / "whole", allocator__prune_ratio=0.0, **enough)
    assert (half.devices.payload_bits < 0.55 * whole.devices.payload_bits).all()
    assert (half.devices.kept_flops < 0.75 * whole.devices.kept_flops).all()
    assert (whole.devices.prune_ratio == 0).all()


def test_a_plan_for_narrow_networks_is_kept(folder):
    optimal = {"allocator__kind": "kkt", "round__latency_threshold": {"relative_to_unpruned": 0.6}, "channel__fading__kind": "none"}
    for kind, side in (("magnitude", "device"), ("taylor", "device")):
        pruner = {"kind": kind, "granularity": "structured", "side": side}
        rows = simulate(folder / kind, learning__pruner=pruner, **optimal).devices
        rows = rows[rows.selected]
        assert rows.prune_ratio.between(0.01, 0.95).any()
        assert (rows.t_compute_s <= rows.t_planned_s).all()
        assert (rows.payload_bits > 0).all()
