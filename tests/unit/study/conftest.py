"""Study files in a folder of their own, about a scenario that takes a moment."""

import pytest

SCENARIO = "{rounds: 2, devices: {count: 3}, learning: {kind: none}}"


@pytest.fixture
def write(tmp_path):
    """Writes a study file beside a tiny scenario; returns its path."""
    (tmp_path / "tiny.yaml").write_text(SCENARIO)

    def write(text):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return write
