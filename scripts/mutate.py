# noqa: INP001 - a script, not a package
"""Mutation testing: how many small mistakes, put into the code one at a time, do the tests find?

    python scripts/mutate.py transfer --mutants 100 --seed 1
    python scripts/mutate.py alloc --mutants 200 --seed 1

Mutants are made by the operators of cosmic-ray, sampled at random over the files of a subject. Each is tried in a process of its own,
forked from one that has imported what tests need, with the mutant in place of the module; no file is changed. Killed: a test fails, or
the tests take longer than the limit. Mutants that differ in annotations alone are left out. Survivors are printed as a table.
"""

import argparse
import ast
import importlib.machinery
import os
import random
import select
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

__all__ = ["hypothesis", "np", "pd", "scipy"]  # imported before the forks
ROOT = Path(__file__).parents[1]
SUBJECTS = {
    "transfer": (
        "cosim/net/transfer*.py",
        ("tests/unit/net/test_transfer.py", "tests/unit/net/test_downlink.py", "tests/unit/simulation", "tests/unit/net/test_uplink.py",
         "tests/unit/net/test_subbands.py", "tests/property/test_uplink_conservation.py"),
    ),
    "alloc": ("cosim/alloc/*.py", ("tests/unit/alloc", "tests/unit/test_checks.py", "tests/oracle/test_kkt_brute_force.py")),
}  # fmt: skip
LIMIT_S = 120


def bare(source: str) -> str:
    """The program without annotations, which are not evaluated, and without texts."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(value=None)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def mutants(pattern: str, count: int, seed: int) -> list[tuple[Path, str, int, str]]:
    """A sample: file, operator, line, mutated source."""
    places = []
    operators = [
        get_operator(name)() for name in operator_names() if not any(word in name for word in ("Shift", "BitXor", "Number", "Variable"))
    ]
    operators.append(get_operator("core/NumberReplacer")())
    for path in sorted(ROOT.glob(pattern)):
        tree = get_ast(path.read_text(encoding="utf-8"))
        for operator in operators:
            number = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))
            places += [(path, operator, index) for index in range(number)]
    random.Random(seed).shuffle(places)
    chosen: list[tuple[Path, str, int, str]] = []
    for path, operator, index in places:
        if len(chosen) == count:
            break
        source = path.read_text(encoding="utf-8")
        mutated = mutate_code(source, operator, index)
        if mutated is None or bare(mutated) == bare(source):
            continue
        pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
        line = next((number for number, (old, new) in enumerate(pairs, 1) if old != new), 0)
        chosen.append((path, type(operator).__name__, line, mutated))
    return chosen


class Mutant(importlib.machinery.SourceFileLoader):
    """Loads a module from another source than is on disk."""

    source = ""

    def get_code(self, fullname: str) -> object:
        """The mutant, compiled."""
        return compile(self.source, self.get_filename(fullname), "exec")


class Finder:
    """Finds the mutant in place of its module."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Only of the one module."""
        if name != self.name:
            return None
        loader = Mutant(name, str(self.path))
        loader.source = self.source
        return importlib.machinery.ModuleSpec(name, loader, origin=str(self.path))


def killed(path: Path, source: str, tests: tuple[str, ...]) -> bool:
    """Whether the tests find this mutant."""
    end, begin = os.pipe()
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.meta_path.insert(0, Finder(path, source))  # type: ignore[arg-type]
        os._exit(
            int(
                pytest.main(
                    ["-x", "-q", "-m", "not full", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]
                )
            )
        )
    os.close(begin)
    late = not select.select([end], [], [], LIMIT_S)[0]  # the other end closes with the child
    os.close(end)
    if late:
        os.kill(child, 9)
    return os.waitpid(child, 0)[1] != 0


def main() -> None:
    """Print the survivors and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--mutants", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    pattern, tests = SUBJECTS[options.subject]
    first = next(ROOT.glob(pattern))
    if killed(first, first.read_text(encoding="utf-8"), tests):
        raise SystemExit("the tests fail without any mutant")
    found = 0
    sample = mutants(pattern, options.mutants, options.seed)
    sys.stdout.write("| survivor | operator | line |\n| --- | --- | --- |\n")
    for done, (path, operator, line, source) in enumerate(sample, 1):
        if killed(path, source, tests):
            found += 1
        else:
            sys.stdout.write(f"| `{path.name}:{line}` | {operator} | `{source.splitlines()[line - 1].strip()}` |\n")
        if done % 25 == 0 or done == len(sample):
            sys.stderr.write(f"{found} of {done} mutants of {options.subject} killed ({found / done:.0%})\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
