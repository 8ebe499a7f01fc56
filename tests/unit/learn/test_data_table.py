import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.learn.data_table import Table
from cosim.learn.partition_groups import Groups
from cosim.rng import Streams

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "site": np.repeat(["north", "south", "east", "west"], 25),
        "height_m": RNG.normal(170, 10, 100),
        "count": RNG.integers(0, 50, 100),
        "good": RNG.random(100) < 0.5,
        "kind": RNG.permutation(np.repeat(["cat", "dog", "ant"], [60, 30, 10])),
    }
)


def write(folder, frame=FRAME, name="x.csv"):
    path = folder / name
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_columns_become_images_of_height_one(tmp_path, name):
    table = Table(file=write(tmp_path, name=name), label="kind", group="site")
    assert table.columns == ("height_m", "count", "good")
    assert (table.image_shape, table.classes) == ((1, 1, 3), 3)
    data = table.load()
    assert data.train_images.shape == (80, 1, 1, 3)
    np.testing.assert_allclose(data.train_images.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_images.std(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(np.bincount(np.concatenate([data.train_labels, data.test_labels])), [10, 60, 30])  # ant, cat, dog
    np.testing.assert_array_equal(np.bincount(data.train_groups), 20)
    np.testing.assert_array_equal(np.bincount(data.test_groups), 5)
    shares = Groups().deal(data, 4, Streams(0))
    assert [len(share) for share in shares.test] == [5] * 4


def test_rows_keep_their_labels_and_are_split_by_class(tmp_path):
    table = Table(file=write(tmp_path), label="kind", features=("count",))
    data = table.load()
    np.testing.assert_array_equal(np.bincount(data.test_labels), [2, 12, 6])
    count = FRAME["count"].to_numpy(float)
    pairs = sorted(zip(count, FRAME["kind"].map({"ant": 0, "cat": 1, "dog": 2}), strict=True))
    images, labels = (np.concatenate(parts) for parts in ((data.train_images, data.test_images), (data.train_labels, data.test_labels)))
    # standardising is linear: undone by the extremes
    low, high = images.min(), images.max()
    undone = np.rint((images.ravel() - low) / (high - low) * (count.max() - count.min()) + count.min())
    assert sorted(zip(undone, labels, strict=True)) == pairs
    again = Table(file=table.file, label="kind", features=("count",)).load()
    np.testing.assert_array_equal(again.test_images, data.test_images)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "kidn"}, "has no column 'kidn' .label.; there are: site, height_m, count, good, kind; did you mean 'kind'"),
        ({"label": "kind", "group": "place"}, "has no column 'place' .group."),
        ({"label": "kind", "features": ["kind"]}, "must be different columns"),
        ({"label": "height_m"}, "column 'height_m' holds fractions"),
    ],
)
def test_wrong_columns_are_told_when_the_scenario_is_checked(tmp_path, fields, message):
    with pytest.raises(ValidationError, match=message):
        Table(file=write(tmp_path), **fields)


def test_values_that_are_no_numbers_are_told(tmp_path):
    with pytest.raises(ScenarioError, match="feature column 'site' holds string, must hold numbers; name the columns"):
        Table(file=write(tmp_path), label="kind").load()
    holes = FRAME.drop(columns="site").assign(count=FRAME["count"].where(FRAME.index != 7))
    with pytest.raises(ScenarioError, match=r"column 'count' has 1 missing value, the first in row 7; fill or drop them"):
        Table(file=write(tmp_path, holes), label="kind").load()
    for name in ("y.parquet", "y.csv"):
        with pytest.raises(ValidationError, match="column 'kind' has 1 missing value, the first in row 7"):
            Table(file=write(tmp_path, FRAME.assign(kind=FRAME["kind"].where(FRAME.index != 7)), name), label="kind")
        some = FRAME.assign(site=FRAME["site"].where(~FRAME.index.isin([7, 9])))
        with pytest.raises(ScenarioError, match="column 'site' has 2 missing values, the first in row 7"):
            Table(file=write(tmp_path, some, name), label="kind", group="site").load()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x,y", "must end in .csv or .parquet"),
        ("a.csv", "", "the first line must name the columns"),
        ("a.csv", "x,x\n1,2\n", "the first line must name the columns, each differently"),
        ("a.csv", "x,y\n", "has no rows"),
        ("a.csv", "x,y\n1,2,3\n", "cannot be read"),
        ("a.csv", "y\n1\n", "has no feature column"),
        ("a.parquet", "x,y", "cannot be read as a Parquet file"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValidationError, match=message):
        Table(file=tmp_path / name, label="y")


def test_peeking_loads_neither_torch_nor_pandas(tmp_path):
    path = write(tmp_path)
    program = (
        f"import sys; from cosim.learn.data_table import Table; t = Table(file={str(path)!r}, label='kind', group='site');"
        " print(t.image_shape, t.classes, [m for m in ('torch', 'pandas', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(1, 1, 3) 3 []"
