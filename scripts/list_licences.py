# noqa: INP001 - a script, not a package
"""Writes docs/licences.md: the licence of every package that cosim brings along, as each declares it: python scripts/list_licences.py."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("ray", "sumo", "sionna", "tensorboard", "dev")


def needed(name: str, extra: str = "", seen: set[str] | None = None) -> Iterator[str]:
    """Installed packages that a package needs, in this environment, itself left out."""
    seen = set() if seen is None else seen
    from packaging.requirements import Requirement

    for line in requires(name) or []:
        requirement = Requirement(line)
        other = re.sub(r"[-_.]+", "-", requirement.name).lower()
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not wanted or other in seen or (extra and "extra" not in str(requirement.marker)):
            continue
        seen.add(other)
        try:
            distribution(other)
        except PackageNotFoundError:
            continue
        yield other
        yield from needed(other, "", seen)


def licence(name: str) -> str:
    """As the package's metadata has it: its expression, else its classifiers, else the first line of its text."""
    about = distribution(name).metadata
    classified = [entry.rpartition(" :: ")[2] for entry in about.get_all("Classifier") or [] if entry.startswith("License ::")]
    text = about.get("License-Expression") or ", ".join(classified) or (about.get("License") or "not declared").strip().splitlines()[0]
    return re.sub(r"\s+", " ", text)[:80]


def main() -> None:
    """One table for what everybody needs, one for each extra."""
    lines = [
        "# Licences of what cosim uses",
        "",
        "Made by `python scripts/list_licences.py` from the metadata of the packages that are installed; cosim itself: MIT. None",
        "of them is part of cosim: each is installed beside it, under its own licence. Data sets that come with it: [data.md](data.md).",
    ]
    seen: set[str] = set()
    for title, extra in (("Needed to run", ""), *((f"Extra `{extra}`", extra) for extra in EXTRAS)):
        names = sorted(set(needed("cosim", extra)) - seen)
        seen |= set(names)
        lines += ["", f"## {title}", "", "| package | version | licence |", "| --- | --- | --- |"]
        lines += [f"| {name} | {distribution(name).version} | {licence(name)} |" for name in names] or [
            "| (nothing more is installed here) | | |"
        ]
    (ROOT / "docs" / "licences.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(seen)} packages\n")


if __name__ == "__main__":
    main()
