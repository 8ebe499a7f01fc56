"""Round policies: when the server stops waiting, whose updates it merges and how, and what becomes of the others' work.

Pure functions of what has happened so far. ``synchronous``: a round ends for everybody; ``asynchronous``: who has not
arrived goes on. ``stop``: when a run ends.
"""

from cosim.policy.asynchronous import FedAsync, FedBuff, Tiers
from cosim.policy.staleness import Hinge, Polynomial, staleness_weight
from cosim.policy.state import AtWork, Decision, Policy, RoundState
from cosim.policy.stop import Stop
from cosim.policy.synchronous import Deadline, FirstM, RelativeToPlan, WaitAll

__all__ = [
    "AtWork",
    "Deadline",
    "Decision",
    "FedAsync",
    "FedBuff",
    "FirstM",
    "Hinge",
    "Policy",
    "Polynomial",
    "RelativeToPlan",
    "RoundState",
    "Stop",
    "Tiers",
    "WaitAll",
    "staleness_weight",
]
