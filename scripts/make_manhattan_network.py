# noqa: INP001 - a script, not a package
"""Make cosim/net/assets/manhattan.net.xml.gz: python scripts/make_manhattan_network.py (needs eclipse-sumo's netgenerate on PATH).

Our own network: 5 x 5 crossings with traffic lights, 240 m apart, one lane and 50 km/h in each direction, in an area of
1000 m x 1000 m with a margin of 20 m. The comment with date and paths is left out, so that the same SUMO gives the same bytes.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import tempfile
from pathlib import Path

from cosim.net.sumo import MANHATTAN

OPTIONS = "--grid --grid.number 5 --grid.length 240 --offset.x 20 --offset.y 20 --default.lanenumber 1 --default.speed 13.89"
LIGHTS = "--default-junction-type traffic_light --seed 1"


def network() -> str:
    """The network as XML."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.xml")
        subprocess.run(["netgenerate", *OPTIONS.split(), *LIGHTS.split(), "-o", str(path)], check=True)  # noqa: S603, S607 - fixed words
        return re.sub(r"<!--.*?-->\s*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


if __name__ == "__main__":
    MANHATTAN.parent.mkdir(exist_ok=True)
    MANHATTAN.write_bytes(gzip.compress(network().encode(), compresslevel=9, mtime=0))
