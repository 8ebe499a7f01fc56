# noqa: INP001 - a script, not a package
"""Makes tests/golden/*.csv anew from the scenarios beside them: what ``tests/end_to_end/test_golden.py`` compares runs with.

    python scripts/make_golden.py

Run it after a change that is meant to change numbers, look at ``git diff --stat tests/golden``, and say in the changelog why they changed.
"""

import json
import sys
import tempfile
from pathlib import Path

import cosim

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def main() -> None:
    """All of them."""
    environment: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    for scenario in sorted(GOLDEN.glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            run = cosim.run(cosim.Scenario.load(scenario), out=Path(folder, "run"), workers=1)
            for table in run.tables:
                getattr(run, table).to_csv(GOLDEN / f"{scenario.stem}.{table}.csv", index=False)  # every digit of every number
        fingerprints[scenario.stem] = run.manifest["fingerprint"]
        environment = {"processor": run.manifest["processor"], **run.manifest["package_versions"]}
        sys.stdout.write(f"{scenario.stem}: {fingerprints[scenario.stem]}\n")
    made = {"environment": environment, "fingerprints": fingerprints}
    (GOLDEN / "made.json").write_text(json.dumps(made, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
