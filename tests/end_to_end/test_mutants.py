"""The mutation score is worth what its script is: mutants that must die die, one that is no mistake lives, and what is no mutant is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full
ROOT = Path(__file__).parents[2]
TRY = """
import json, os, sys
sys.path[:0] = ["scripts", ""]
import mutate
mutate.warm_up()
path = mutate.ROOT / "cosim/units.py"
source, tests = path.read_text(), mutate.Tests(("tests/unit/test_units.py",))
def fate(before, after):
    assert before in source
    mutant = mutate.made(path, source, source.replace(before, after))
    return mutant and ("killed" if tests.find(mutant) else "survives")
print(json.dumps([fate(*change) for change in json.loads(sys.argv[1])]))
"""


def fates(*changes):
    """What becomes of mutants of the module of decibels under its own tests."""
    found = subprocess.run(
        [sys.executable, "-c", TRY, json.dumps(changes)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_mistakes_are_found_and_others_are_not():
    before = (ROOT / "cosim/units.py").read_bytes()
    assert (
        fates(
            ("- 30.0)", "- 31.0)"),
            ("return 10.0 * np.log10(", "return 10.0 / np.log10("),
            ("    with np.errstate", "    while True:\n        pass\n    with np.errstate"),  # no end in sight
            ("from typing import Final", "from typing import Finale as Final"),  # cannot be imported
            ("/ 10.0)", "* 0.1)"),  # no mistake: the same to rounding
            ("-174.0", "-175.0"),  # of which these tests know nothing
        )
        == ["killed"] * 4 + ["survives"] * 2
    )
    assert (ROOT / "cosim/units.py").read_bytes() == before


def test_what_is_no_mutant():
    assert fates(
        ("power_dbm: ArrayLike)", "power_dbm: int)"),
        ("Level in dB of", "Level in GB of"),
        ("return 10.0 * np", "return 10.0 ** * np"),
    ) == [None, None, None]


def test_a_sample_is_that_of_its_seed():
    program = (
        "import sys; sys.path[:0] = ['scripts', '']; import mutate;"
        "print([[(m.place, m.after) for m in mutate.sample('cosim/units.py', 20, seed)] for seed in (1, 1, 2)])"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    one, same, other = eval(found.stdout)
    assert len(set(one)) == 20
    assert one == same
    assert one != other
