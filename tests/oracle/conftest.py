"""Oracle tests tell what they measured: with COSIM_VALIDATION=FILE each comparison becomes a line of JSON there."""

import json
import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def within():
    """within(model, oracle, deviation, tolerance, unit=, samples=) checks that the worst deviation is within the tolerance, and records it."""

    def check(model, oracle, deviation, tolerance, *, unit="", samples=0):
        worst = float(np.max(np.abs(deviation)))
        if target := os.environ.get("COSIM_VALIDATION"):
            record = {
                "model": model,
                "oracle": oracle,
                "samples": int(samples),
                "worst": worst,
                "tolerance": float(tolerance),
                "unit": unit,
            }
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        assert worst <= tolerance, f"{model} against {oracle}: {worst:.4g} {unit} is more than {tolerance:.4g}"

    return check
