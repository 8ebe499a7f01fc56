"""Tutorial: what do moving devices do to the latency of a round?

    python examples/latency_under_mobility.py --out runs/mobility

A plan is made when a round begins, from the gains that the server knows then; here they are two seconds old. Devices that
move have other gains by the time they send. So the plan should err more, the faster they are. Let us measure that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cosim.statistics import paired
from cosim.study.execute import run_study
from cosim.study.plan import load

SMALL = Path(__file__).resolve().parent.parent / "scenarios" / "small_5dev.yaml"

# Step 1. A study: the small scenario without learning, which changes no latency here; one variant for each speed; six seeds.
# The server waits for everybody, computing times are as planned: what is off, is off because of the radio.
STUDY = f"""
scenario: {SMALL}
seeds: {{first: 1, count: 6}}
overrides:
  learning.kind: none
  rounds: 8
  compute.kind: constant
  devices.count: 10
  mobility.pause_max_s: 0.0
  round.policy.kind: wait_all
  round.latency_threshold: 2.0
  round.csi: {{kind: stale, age_s: 2.0}}
zip:
  mobility.speed_min_m_s: [0.01, 5.0, 15.0, 30.0]
  mobility.speed_max_m_s: [0.01, 5.0, 15.0, 30.0]
"""
SPEEDS_M_S = (0.01, 5.0, 15.0, 30.0)


def main() -> None:
    """Simulate, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/mobility"))
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "mobility.yaml").write_text(STUDY, encoding="utf-8")

    # Step 2. Simulate it. Finished runs stay: the second call of this script comes here at once.
    study, failed = run_study(load(options.out / "mobility.yaml"), options.out / "study", workers=options.workers)
    assert not failed, failed

    # Step 3. One number per run: the mean latency, and how far it is from the plan.
    rounds = study.rounds.assign(off_s=study.rounds["latency_s"] - study.rounds["planned_latency_s"])
    means = rounds.groupby(["variant", "seed"], observed=True)[["latency_s", "planned_latency_s", "off_s"]].mean()

    # Step 4. Differences seed by seed: all variants of a seed have the same placement, shadowing and fading, so that a difference
    # has a narrower interval than two independent means would have.
    still = means.loc[study.variants[0]]
    print("speed      planned    realised   off      more off than at rest (95 %)")
    for speed, name in zip(SPEEDS_M_S, study.variants, strict=True):
        row = means.loc[name]
        gap = paired(row["off_s"], still["off_s"]).interval
        mean = row.mean()
        print(
            f"{speed:5.1f} m/s  {mean['planned_latency_s']:.3f} s    {mean['latency_s']:.3f} s    {mean['off_s']:.3f} s  "
            f"{gap.estimate:+.3f} s [{gap.low:+.3f}, {gap.high:+.3f}]"
        )

    # Step 5. Figures for a paper.
    for name in ("latency_cdf", "latency_by_speed"):
        getattr(study.plot, name)().figure.savefig(options.out / f"{name}.png")
    run = study.run(study.variants[-1], study.seeds[0])
    run.plot.map().figure.savefig(options.out / "map.png")
    print(f"figures: {options.out}; for the whole story of a run: cosim report '{run.directory}'")


if __name__ == "__main__":
    main()
