"""The study behind docs/csi.md, with a deadline that closes the round: a small part of it already shows what docs/beyond.md says."""

from pathlib import Path

import cosim.study.plan
from cosim.build import run

STUDY = Path(__file__).parents[2] / "scenarios/studies/csi_speed.yaml"


def test_the_outage_aware_plan_keeps_deadlines_that_the_mean_rate_misses(tmp_path):
    """60 updates each, on one seed: 35 % and 1 % on the page, so 10 % and a tenth apart leave chance three standard errors."""
    plan = cosim.study.plan.load(STUDY, {"round.policy": {"kind": "deadline", "after": {"relative_to_plan": 1.02}}})
    still = "speed_min_m_s-0.01,speed_max_m_s-0.01"
    late = {}
    for name in ("mean-0s", "outage-0s"):
        scenario = plan.scenario(f"{name},{still}", 1).model_copy(update={"rounds": 6})
        devices = run(scenario, tmp_path / name).devices
        late[name] = (devices["status"] == "late").mean()
    assert late["outage-0s"] < 0.1
    assert late["mean-0s"] > late["outage-0s"] + 0.1
