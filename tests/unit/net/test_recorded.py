"""Recorded traces: exact between samples, devices that come and go, and files that are wrong in every way."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.net.availability import Always, OnOff, WhilePresent
from cosim.net.recorded import Recorded
from cosim.rng import Streams

AREA = (100.0, 100.0)
CSV = """t_s,device,x_m,y_m
0,7,0,0
2,20,10,50
10,7,30,40
4,20,10,60
20,7,30,100
"""
FCD = """<?xml version="1.0" encoding="UTF-8"?>
<fcd-export>
    <timestep time="0.00"><vehicle id="7" x="0" y="0" angle="1" type="car" speed="5"/></timestep>
    <timestep time="2.00"><person id="20" x="10" y="50"/></timestep>
    <timestep time="4.00"><person id="20" x="10" y="60"/></timestep>
    <timestep time="10.00"><vehicle id="7" x="30" y="40"/></timestep>
    <timestep time="20.00"><vehicle id="7" x="30" y="100"/></timestep>
</fcd-export>
"""


def started(path, devices=2, **fields):
    return Recorded(file=path, **fields).start(AREA, devices, Streams(1))


def write(folder, form):
    path = folder / f"trace.{form}"
    if form.startswith("csv"):
        content = CSV.encode()
    elif form.startswith("xml"):
        content = FCD.encode()
    else:
        pd.read_csv(pd.io.common.StringIO(CSV)).to_parquet(path)
        return path
    path.write_bytes(gzip.compress(content) if form.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "xml", "xml.gz"])
def test_every_format_says_the_same(tmp_path, form):
    paths = started(write(tmp_path, form))
    motion = paths.at(np.array([0.0, 2.5, 3.0, 10.0, 15.0, 20.0, 99.0]), np.array([0, 1]))
    np.testing.assert_allclose(motion.x_m.T, [[0, 7.5, 9, 30, 30, 30, 30], [10] * 7], rtol=1e-15)
    np.testing.assert_allclose(motion.y_m.T, [[0, 10, 12, 40, 70, 100, 100], [50, 52.5, 55, 60, 60, 60, 60]], rtol=1e-15)
    np.testing.assert_allclose(motion.speed_m_s.T, [[5, 5, 5, 6, 6, 0, 0], [0, 5, 5, 0, 0, 0, 0]], rtol=1e-15)
    np.testing.assert_allclose(motion.travelled_m.T, [[0, 12.5, 15, 50, 80, 110, 110], [0, 2.5, 5, 10, 10, 10, 10]], rtol=1e-15)
    first, last = paths.presence_s(np.array([1, 0]))
    np.testing.assert_array_equal(first, [2, 0])
    np.testing.assert_array_equal(last, [4, 20])


def test_samples_come_back_exactly(tmp_path):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"t_s": np.cumsum(rng.random(200) + 1e-3), "device": 3, "x_m": rng.random(200) * 100, "y_m": rng.random(200) * 100}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    motion = started(tmp_path / "t.parquet", 1).at(frame.t_s.to_numpy(), np.array([0]))
    np.testing.assert_array_equal(motion.x_m[:, 0], frame.x_m)
    np.testing.assert_array_equal(motion.y_m[:, 0], frame.y_m)
    np.testing.assert_allclose(motion.travelled_m[1:, 0], np.cumsum(np.hypot(frame.x_m.diff(), frame.y_m.diff())[1:]), rtol=1e-12)


def test_time_and_place_of_the_file_can_be_shifted(tmp_path):
    (tmp_path / "t.csv").write_text("t_s,device,x_m,y_m\n3600,a,1000,2000\n3610,a,1010,2000\n3620,a,1010,2040\n")
    paths = started(tmp_path / "t.csv", 1, begin_s=3605.0, origin_x_m=1000.0, origin_y_m=2000.0)
    motion = paths.at(np.array([0.0, 5.0, 10.0]), np.array([0]))
    np.testing.assert_allclose(motion.x_m[:, 0], [5, 10, 10])
    np.testing.assert_allclose(motion.y_m[:, 0], [0, 0, 20])
    np.testing.assert_allclose(motion.travelled_m[:, 0], [0, 5, 25])  # counted from t = 0, not from the first sample


def test_devices_are_the_first_of_the_file_by_number_else_by_appearance(tmp_path):
    (tmp_path / "n.csv").write_text("t_s,device,x_m,y_m\n0,10,1,0\n0,9,2,0\n0,100,3,0\n")
    (tmp_path / "w.csv").write_text("t_s,device,x_m,y_m\n0,taxi,1,0\n0,9,2,0\n0,bus,3,0\n")
    at = np.zeros(1), np.arange(2)
    np.testing.assert_array_equal(started(tmp_path / "n.csv").at(*at).x_m, [[2, 1]])
    np.testing.assert_array_equal(started(tmp_path / "w.csv").at(*at).x_m, [[1, 2]])
    with pytest.raises(ScenarioError, match=r"w\.csv: holds 3 devices, devices\.count is 4"):
        started(tmp_path / "w.csv", 4)


HEAD = "t_s,device,x_m,y_m\n"
WRONG = [
    ("a.csv", "", r"a\.csv: is empty; its first line must name the columns t_s, device, x_m, y_m"),
    ("a.csv", HEAD, r"a\.csv: holds no positions"),
    ("a.csv", "t_s,device,x_m\n0,1,2\n", r"column y_m is missing; a trace has the columns .*, this one t_s, device, x_m"),
    ("a.csv", HEAD + "0,1,2,3\n1,1,oops,3\n", r"a\.csv:3: column x_m is 'oops', must be a finite number"),
    ("a.csv", HEAD + "0,1,2,3\n\n1,1,2,nan\n", r"a\.csv:4: column y_m is 'nan'"),
    ("a.csv", HEAD + "0,1,2,3\n1,1,inf,3\n", r"a\.csv:3: column x_m is 'inf'"),
    ("a.csv", HEAD + "0,1,2,3\n1,1,2\n", r"a\.csv:3: column y_m is '', must be"),
    ("a.csv", HEAD + "0,1,2,3\n1,1,2,3,4\n", r"a\.csv:3: has a column 5, but the first line names 4"),
    ("a.csv", HEAD + "0, ,2,3\n", r"a\.csv:2: column device is empty; it must name a device"),
    ("a.csv", HEAD + "0,1,2,3\n0,2,2,3\n0,1,5,3\n", r"a\.csv:4: column t_s: device 1 is at 0 s twice \(before: .*a\.csv:2\)"),
    ("a.csv", HEAD + "5,1,2,3\n4,1,5,3\n", r"a\.csv:3: column t_s: device 1 is at 4 s after 5 s \(.*; a device's times must increase"),
    ("a.csv", HEAD + "0,1,2,3\n1,1,2,101\n", r"a\.csv:3: column y_m: 101 m is outside the area of 100 m x 100 m; see area and"),
    ("a.csv", b"\xff\xfe\x00", r"a\.csv:1: is no CSV file"),
    ("a.csv", HEAD + '0,1,2,"3\n', r"a\.csv:2: is no CSV file: unexpected end of data"),
    ("a.csv.gz", b"plainly not compressed", r"a\.csv\.gz: cannot be read"),
    ("a.parquet", "nothing", r"a\.parquet: is no Parquet file"),
    ("a.txt", CSV, r"a\.txt: a trace is a file \.csv"),
    ("a.xml", "", r"a\.xml:1:1: is no well-formed XML: no element found"),
    ("a.xml", FCD.replace("</fcd-export>", ""), r"a\.xml:9:1: is no well-formed XML: no element found"),
    (
        "a.xml",
        FCD.replace('x="30" y="40"', 'x="30" y="north"'),
        r"a\.xml:6:28: attribute y of <vehicle> is 'north', must be a finite number",
    ),
    ("a.xml", FCD.replace('x="10" y="60"', 'y="60"'), r"a\.xml:5:27: attribute x of <person> is missing"),
    ("a.xml", FCD.replace('time="4.00"', 'time="2.00"'), r"a\.xml:5: column t_s: device 20 is at 2 s twice"),
    ("a.xml", "<routes><vehicle/></routes>", r"a\.xml:1:1: element <routes> is not SUMO FCD output; its root is <fcd-export>"),
    ("a.xml", "<fcd-export><vehicle id='1' x='1' y='1'/></fcd-export>", r"a\.xml:1:13: <vehicle> outside of a <timestep>"),
    ("a.xml", "<fcd-export/>", r"a\.xml: holds no positions"),
    ("a.xml.gz", b"plainly not compressed", r"a\.xml\.gz: cannot be read"),
    ("a.xml.gz", gzip.compress(FCD.encode())[:-20], r"a\.xml\.gz: cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_a_malformed_file_is_told_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ScenarioError, match=message):
        started(tmp_path / name, 1)


@pytest.mark.parametrize("declaration", ['<!DOCTYPE a [<!ENTITY b "c">]>', '<!DOCTYPE a SYSTEM "other.dtd">'])
def test_xml_with_a_document_type_is_refused(tmp_path, declaration):
    (tmp_path / "a.xml").write_text(f"{declaration}<fcd-export/>")
    with pytest.raises(ScenarioError, match=r"a\.xml:1:\d+: a document type \(DOCTYPE\) is not allowed"):
        started(tmp_path / "a.xml", 1)


def test_parquet_names_row_and_column(tmp_path):
    path = tmp_path / "a.parquet"
    good = pd.DataFrame({"t_s": [0.0, 1.0], "device": [1, 1], "x_m": [1.0, np.nan], "y_m": [1.0, 2.0]})
    good.to_parquet(path)
    with pytest.raises(ScenarioError, match=r"a\.parquet, row 2: column x_m is None, must be a finite number"):
        started(path, 1)
    good.assign(x_m=["one", "two"]).to_parquet(path)
    with pytest.raises(ScenarioError, match=r"a\.parquet, row 1: column x_m is 'one'"):
        started(path, 1)
    good.drop(columns="device").to_parquet(path)
    with pytest.raises(ScenarioError, match="column device is missing"):
        started(path, 1)


def test_text_is_read_without_pandas(tmp_path):
    code = "import sys; from pathlib import Path; from cosim.net.traces import read_trace; "
    code += "[read_trace(Path(name)) for name in sys.argv[1:]]; print('pandas' in sys.modules, 'pyarrow' in sys.modules)"
    files = [str(write(tmp_path, form)) for form in ("csv", "csv.gz", "xml", "xml.gz")]
    assert subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True).stdout == "False False\n"


def test_the_file_must_exist(tmp_path):
    with pytest.raises(ValidationError, match="no such file"):
        Recorded(file=tmp_path / "nowhere.csv")


def test_who_is_not_there_is_offline():
    ids = np.arange(3)
    process = WhilePresent(Always().start(3, Streams(1)), np.array([0.0, 5.0, -3.0]), np.array([10.0, np.inf, -1.0]))
    expected = {0.0: ([1, 0, 0], [10, 5, np.inf]), 5.0: ([1, 1, 0], [10, np.inf, np.inf]), 10.0: ([0, 1, 0], [np.inf] * 3)}
    for time, (online, change) in expected.items():
        np.testing.assert_array_equal(process.online(time, ids), np.array(online, bool))
        np.testing.assert_array_equal(process.next_change_s(time, ids), change)


def test_presence_and_availability_are_both_needed():
    on_off, n = OnOff(mean_on_s=3.0, mean_off_s=2.0), 50
    inner = on_off.start(n, Streams(2))
    process, ids = WhilePresent(on_off.start(n, Streams(2)), np.full(n, 4.0), np.full(n, 30.0)), np.arange(n)
    for time in np.arange(0.0, 40.0, 0.7):
        there = (4.0 <= time < 30.0) & inner.online(time, ids)
        np.testing.assert_array_equal(process.online(time, ids), there)
        change = process.next_change_s(time, ids)
        assert (change > time).all()
        np.testing.assert_array_equal(change[there], np.minimum(inner.next_change_s(time, ids), 30.0)[there])
