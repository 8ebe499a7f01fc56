# noqa: INP001 - a script, not a package
"""Fit the block error curves of ``cosim/net/bler_table1.json`` to the tables that Sionna SYS ships.

    python scripts/make_bler_curves.py

Sionna (Apache-2.0) holds simulated block error rates of the 5G LDPC code for TS 38.214 table 5.1.3.1-1, MCS 3 to 28, code blocks of 24 to
2000 bits, at SINRs 1.8 dB apart. A curve Q((SINR - middle) / width) is fitted to each by maximum likelihood, as if each point were
1000 blocks; a curve is at least 0.2 dB wide, since the grid cannot tell steep ones apart. Needs the extra `sionna`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

ASSET = Path(__file__).parent.parent / "cosim" / "net" / "bler_table1.json"
BLOCKS_PER_POINT = 1000
LEAST_WIDTH_DB = 0.2


def fit(snr_db: np.ndarray, bler: np.ndarray) -> tuple[float, float]:
    """Middle and width [dB] of Q((SINR - middle) / width)."""

    def cost(point: np.ndarray) -> float:
        z = (snr_db - point[0]) / (LEAST_WIDTH_DB + np.exp(point[1]))
        return -BLOCKS_PER_POINT * float(bler @ log_ndtr(-z) + (1 - bler) @ log_ndtr(z))

    middle = float(np.interp(-0.5, -bler, snr_db))
    found = min((minimize(cost, (middle, np.log(width)), method="Nelder-Mead") for width in (0.1, 0.5, 1.5)), key=lambda r: r.fun)
    return float(found.x[0]), float(LEAST_WIDTH_DB + np.exp(found.x[1]))


def main() -> None:
    """Read Sionna's table, fit, write."""
    spec = importlib.util.find_spec("sionna")
    assert spec is not None, "this script needs the extra `sionna`"
    folder = Path(next(iter(spec.submodule_search_locations)))
    table = json.loads((folder / "sys" / "bler_tables" / "PDSCH_table1.json").read_text())["category"]["1"]["index"]["1"]["MCS"]
    sizes = sorted({int(size) for row in table.values() for size in row["CBS"]})
    curves = {
        mcs: [fit(np.array(row["SNR_db"]), np.minimum.accumulate(row["CBS"][str(size)]["BLER"])) for size in sizes]
        for mcs, row in table.items()
    }
    document = {
        "origin": "fitted by scripts/make_bler_curves.py to sionna/sys/bler_tables/PDSCH_table1.json of Sionna 2.2.0 (Apache-2.0)",
        "code_block_bits": sizes,
        "mcs": [int(mcs) for mcs in curves],
        "middle_db": [[round(middle, 3) for middle, _ in row] for row in curves.values()],
        "width_db": [[round(width, 3) for _, width in row] for row in curves.values()],
    }
    ASSET.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(ASSET)  # noqa: T201


if __name__ == "__main__":
    main()
