"""cosim: federated learning over wireless networks, co-simulated under one clock.

    import cosim
    run = cosim.run(cosim.Scenario.load("scenarios/small_5dev.yaml"), out="runs/a")
    run.rounds                      # a pandas DataFrame, one row per round

Public names are loaded when first used, so ``import cosim`` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosim.build import run as run
    from cosim.errors import CosimError as CosimError
    from cosim.scenario import Scenario as Scenario
    from cosim.study.results import Study as Study
    from cosim.trace.run import Run as Run

__version__ = "0.1.0"
_HOME = {
    "run": "cosim.build",
    "Scenario": "cosim.scenario",
    "Run": "cosim.trace.run",
    "Study": "cosim.study.results",
    "CosimError": "cosim.errors",
}
__all__ = ["CosimError", "Run", "Scenario", "Study", "__version__", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cosim' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
