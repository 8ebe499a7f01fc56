# noqa: INP001 - a script, not a package
"""Mutation testing: how many small mistakes, put into the code one at a time, do the tests find?

    python scripts/mutate.py                                    docs/mutants.md again
    python scripts/mutate.py --seed 3                           the same from other samples
    python scripts/mutate.py alloc --only kkt.py:92 kkt.py:96   what becomes of the sample's mutants of these lines; no page is written

Mutants are made by the operators of cosmic-ray, sampled at random over the files of a subject. Each is tried in a process of its own,
forked from one that has imported packages that tests need but nothing of cosim, with the mutant in place of the module; no file
is changed. Of the subject's tests those are run that come by the mutated line; all, where it runs when the module is imported.
Killed: a test fails, the tests cannot be collected, or one takes more than 6 s of processor time (the slowest needs 2 s).
Property tests draw the same examples for each mutant and remember none. No mutants are: what is not Python, what differs in texts
or for type checkers alone, and bitwise operators in place of arithmetic ones, at which numbers do nothing but raise.
Equivalent mutants, which no test can find, are in the sample and count as survivors.
"""

import argparse
import ast
import importlib.machinery
import os
import random
import re
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import hypothesis
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from coverage import CoverageData

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mutants.md"
CRASHES = re.compile(r"Shift|BitXor|_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_Bit|Variable")
MEMORY_BYTES = 8 << 30
PATIENCE_S = 6.0
NEVER_LOADED = 99
HEADING = "| mutant | code | mutated to | why it survives |\n| --- | --- | --- | --- |\n"


class Subject(NamedTuple):
    """Files to be mutated, how many mutants to try, and the tests that should find them."""

    files: str
    count: int
    tests: tuple[str, ...]


SUBJECTS = {
    "transfer": Subject("cosim/net/transfer*.py", 100, (
        "tests/unit/net/test_transfer.py", "tests/unit/net/test_downlink.py", "tests/unit/simulation", "tests/unit/net/test_uplink.py",
        "tests/unit/net/test_subbands.py", "tests/unit/net/test_power.py", "tests/unit/net/test_uplink_flat.py",
        "tests/unit/net/test_harq.py", "tests/unit/net/test_power_limited.py", "tests/property/test_uplink_conservation.py",
    )),
    "alloc": Subject("cosim/alloc/*.py", 200, (
        "tests/unit/alloc", "tests/oracle/test_kkt_brute_force.py", "tests/oracle/test_allocators_brute_force.py",
        "tests/oracle/test_convergence_bound.py", "tests/unit/test_checks.py", "tests/property/test_kkt_properties.py",
        "tests/oracle/test_kkt_alternating.py", "tests/oracle/test_kkt_conic.py", "tests/oracle/test_pruning_aware_conic.py",
        "tests/oracle/test_kkt_energy_numerical.py",
    )),
}  # fmt: skip


class Mutant(NamedTuple):
    """A module with one mistake: where, and the line without it and with it."""

    path: Path
    line: int
    before: str
    after: str
    code: CodeType

    @property
    def place(self) -> str:
        """As in ``kkt.py:92``."""
        return f"{self.path.name}:{self.line}"


def bare(source: str) -> str:
    """The program without texts, and without what is for type checkers: annotations, `final`, imports for annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.decorator_list = [mark for mark in node.decorator_list if not (isinstance(mark, ast.Name) and mark.id == "final")]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.test = ast.Constant(value=None)
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(value=None)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def made(path: Path, source: str, mutated: str | None) -> Mutant | None:
    """A mutant, where there is one."""
    try:
        if mutated is None or bare(mutated) == bare(source):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a comparison with `is` is no mistake that tests have found
            code = compile(mutated, str(path), "exec")
    except SyntaxError:
        return None
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    line, before, after = next((number, old, new) for number, (old, new) in enumerate(pairs, 1) if old.strip() != new.strip() and old)
    return Mutant(path, line, before.strip(), after.strip(), code)


def sample(files: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants, each place and operator equally likely."""
    operators = [get_operator(name)() for name in sorted(operator_names()) if not CRASHES.search(name)]
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(files))}
    places = []
    for path, source in sources.items():
        nodes = list(ast_nodes(get_ast(source)))
        for operator in operators:
            number = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            places += [(path, operator, index) for index in range(number)]
    random.Random(seed).shuffle(places)
    chosen: list[Mutant] = []
    for path, operator, index in places:
        mutant = made(path, sources[path], mutate_code(sources[path], operator, index))
        chosen += [mutant] if mutant else []
        if len(chosen) == count:
            break
    return chosen


class Loader(importlib.machinery.SourceFileLoader):
    """Loads the mutant in place of its module: both finder and loader."""

    def __init__(self, path: Path, code: CodeType) -> None:
        super().__init__(".".join(path.relative_to(ROOT).with_suffix("").parts), str(path))
        self.code, self.loaded = code, False

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Only of the one module."""
        return importlib.machinery.ModuleSpec(name, self, origin=self.path) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """The mutant, compiled."""
        self.loaded = True
        return self.code


class Only:
    """A plugin of pytest: some of the tests alone."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the others."""
        items[:] = [item for item in items if item.nodeid in self.names]


class Patience:
    """A plugin of pytest: a test, or the import before the first, that takes too much processor time ends its process."""

    @staticmethod
    def pytest_configure() -> None:
        """Pytest begins."""
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)

    @staticmethod
    def pytest_runtest_logstart() -> None:
        """A test begins."""
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)


def run(tests: Sequence[str], plugins: Sequence[object] = (), loader: Loader | None = None) -> int:
    """Exit code of the tests, run in a process of their own."""
    assert not any(name.split(".")[0] == "cosim" for name in sys.modules), "what has been imported cannot be replaced"
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        if loader:
            sys.meta_path.insert(0, loader)
        options = ["-x", "-q", "-m", "not full", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        status = int(pytest.main([*options, *tests], list(plugins)))
        os._exit(NEVER_LOADED if loader and not loader.loaded and not status else status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Tests:
    """The tests of a subject, and which of them come by which line."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        """Runs them once, without any mutant."""
        self.paths = paths
        with tempfile.TemporaryDirectory() as folder:
            os.environ["COVERAGE_FILE"] = str(Path(folder, "coverage"))
            status = run([*paths, "--cov=cosim", "--cov-context=test", "--cov-report="])
            if status:
                raise SystemExit(f"the tests fail without any mutant, with exit code {status}")
            found = CoverageData(os.environ["COVERAGE_FILE"])
            found.read()
            self.by_line = {file: found.contexts_by_lineno(file) for file in found.measured_files()}

    def of(self, mutant: Mutant) -> tuple[list[str], list[Only]]:
        """Paths of the tests that can find a mutant, and which tests there, if not all: those that come by its line after the import."""
        contexts = self.by_line.get(str(mutant.path), {}).get(mutant.line, [""])
        names = {context.rpartition("|")[0] for context in contexts}
        if "" in names:
            return list(self.paths), []
        likeliest = f"test_{mutant.path.name}"
        return sorted({name.split("::")[0] for name in names}, key=lambda path: Path(path).name != likeliest), [Only(names)]

    def find(self, mutant: Mutant) -> bool:
        """Whether a test fails, or no end is in sight."""
        paths, only = self.of(mutant)
        status = run(paths, [Patience(), *only], Loader(mutant.path, mutant.code))
        if status == NEVER_LOADED:
            raise SystemExit(f"no test has imported {mutant.path}")
        return status != 0


def warm_up() -> None:
    """Import what is slow to import, and have property tests draw the same examples each time."""
    for package in ("numpy", "pandas", "scipy.optimize", "scipy.special", "scipy.stats", "cvxpy", "torch"):
        importlib.import_module(package)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # to find an example is enough
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")


def cell(text: str) -> str:
    """Code in a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def survivors(subject: Subject, mutants: list[Mutant]) -> list[Mutant]:
    """Those that the tests do not find; says how far it is."""
    tests = Tests(subject.tests)
    alive = []
    for done, mutant in enumerate(mutants, 1):
        if not tests.find(mutant):
            alive.append(mutant)
            sys.stderr.write(f"{mutant.place} survives: {mutant.before}  ->  {mutant.after}\n")
        if done % 25 == 0 or done == len(mutants):
            sys.stderr.write(f"{done - len(alive)} of {done} killed\n")
    return alive


def reasons() -> dict[tuple[str, ...], str]:
    """Why mutants survive, from the page as it is: by file, code and mutated code."""
    rows = [re.split(r"(?<!\\)\|", line)[1:5] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {(place.split(":")[0].strip(" `"), before.strip(), after.strip()): why.strip() for place, before, after, why in rows}


def section(name: str, mutants: list[Mutant], alive: list[Mutant], seed: int) -> str:
    """Score and table of a subject."""
    known, killed = reasons(), len(mutants) - len(alive)
    lines = [
        f"## {name}\n\n`{SUBJECTS[name].files}`, seed {seed}: {killed} of {len(mutants)} killed ({killed / len(mutants):.0%}).\n\n{HEADING}"
    ]
    for mutant in sorted(alive, key=lambda one: (one.path, one.line)):
        before, after = cell(mutant.before), cell(mutant.after)
        lines.append(f"| `{mutant.place}` | {before} | {after} | {known.get((mutant.path.name, before, after), 'not looked at yet')} |\n")
    return "".join(lines)


def main() -> None:
    """Try the mutants of the subjects, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="?", choices=SUBJECTS, help="one alone, without writing the page")
    parser.add_argument("--mutants", type=int, help="how many, if not as many as the subject has on the page")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="FILE:LINE", help="only mutants of the sample in these lines")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    warm_up()
    sections = []
    for name, subject in SUBJECTS.items():
        if options.subject in (None, name):
            mutants = sample(subject.files, options.mutants or subject.count, options.seed)
            mutants = [mutant for mutant in mutants if not options.only or mutant.place in options.only]
            sections.append(section(name, mutants, survivors(subject, mutants), options.seed))
    if options.subject:
        sys.stdout.write("\n".join(sections))
    else:
        head = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
        PAGE.write_text("\n".join([head.rstrip() + "\n", *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
