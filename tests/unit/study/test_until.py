"""Seeds are added until results are precise: the rule against its formula, and studies that follow it."""

import numpy as np
import pytest
from scipy import stats

import cosim
from cosim import statistics
from cosim.errors import CosimError, CosimWarning, ScenarioError
from cosim.rng import Streams
from cosim.study import compare as comparing
from cosim.study import execute, tables
from cosim.study import plan as plans

STUDY = "{scenario: tiny.yaml, seeds: [5, 6], until: {metric: latency_s, precision: 0.4, most_seeds: 40}}"


def interval(mean, half, count):
    return statistics.Interval(mean, mean - half, mean + half, count)


@pytest.mark.parametrize(
    ("intervals", "wanted"),
    [
        ([interval(1.0, 9.9, 4)], 10),  # not looked at before
        ([interval(1.0, 0.0199, 10), interval(-5.0, 0.099, 10)], 10),  # narrow enough
        ([interval(1.0, 0.025, 10), interval(1.0, 0.01, 10)], 16),  # 10 x 1.25^2 = 15.6
        ([interval(1.0, 0.0201, 30)], 33),  # a tenth more
        ([interval(1.0, 0.2, 30)], 60),  # twice as many
        ([interval(1.0, 0.2, 60)], 100),  # the most
        ([interval(1.0, 0.2, 100)], 100),
    ],
)
def test_the_rule(intervals, wanted):
    assert statistics.replications_wanted(intervals, 0.02, 100) == wanted


def test_a_mean_of_zero_has_no_relative_precision():
    with pytest.raises(ValueError, match="no relative precision"):
        statistics.replications_wanted([interval(0.0, 1.0, 20)], 0.02, 100)


@pytest.fixture
def here(monkeypatch):
    """Runs in this process, one after the other."""
    monkeypatch.setattr(execute, "_outcomes", lambda tasks, *_: (execute.simulate(task) for task in tasks))


def test_a_study_that_adds_seeds(here, write, tmp_path):
    """The tiny scenario's latency varies by its mean from seed to seed: ten seeds do not do."""
    plan, ended = plans.load(write(STUDY)), []
    study, failed = execute.run_study(plan, tmp_path / "out", progress=lambda *step: ended.append(step[:2]))
    assert not failed
    values = study.rounds.groupby("seed")["latency_s"].mean()
    assert len(values) == len(study.seeds) == len(ended)
    assert study.seeds == tuple(range(5, 5 + len(values)))
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert 10 < len(values) < 40
    assert (high - low) / 2 <= 0.4 * values.mean()
    assert ended[-1] == (len(values), len(values))
    assert study.until.precision == 0.4
    found = comparing.compare_directories([tmp_path / "out"])
    assert found.notes[1].startswith("Sequential: seeds were added until the interval of latency_s was within 40 % of its mean")
    assert all(line.endswith(",sequential") for line in tables.comma_separated(found).splitlines()[1:])
    assert tables.comma_separated(comparing.compare(study.rounds)).splitlines()[1].endswith(",fixed")


def test_it_goes_on_with_what_was_added(here, write, tmp_path):
    """The same file again adds nothing; nor does it take the added seeds for another study, even without the rule."""
    path, out = write(STUDY), tmp_path / "out"
    first, _ = execute.run_study(plans.load(path), out)
    again = []
    study, _ = execute.run_study(plans.load(path), out, progress=lambda *step: again.append(step))
    assert (again, study.seeds) == ([], first.seeds)
    study, _ = execute.run_study(plans.load(write("{scenario: tiny.yaml, seeds: [5, 6]}")), out)
    assert (study.seeds, study.until) == (first.seeds, first.until)
    (out / "copy.yaml").write_text((out / "study.yaml").read_text())
    assert plans.load(out / "copy.yaml").until == first.until


def test_the_most_seeds_are_the_most(here, write, tmp_path):
    plan = plans.with_until(plans.load(write("{scenario: tiny.yaml, seeds: [1]}")), precision=0.001, most_seeds=11)
    with pytest.warns(CosimWarning, match=r"interval of latency_s is within .* % of its mean after 11 seeds, the most that are allowed"):
        study, _ = execute.run_study(plan, tmp_path / "out")
    assert len(study.seeds) == 11


def test_a_metric_that_is_not_known_is_refused(here, write, tmp_path):
    plan = plans.with_until(plans.load(write("{scenario: tiny.yaml, seeds: [1]}")), precision=0.1, metric="accuracy_mean")
    with pytest.raises(CosimError, match="until: accuracy_mean is not known for every run"):
        execute.run_study(plan, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "what"), [({"precision": 2.0}, "> 0 and < 1"), ({"metric": "latency"}, "precision"), ({"most_seeds": 3}, "10")]
)
def test_a_bad_rule_is_told(write, options, what):
    plan = plans.load(write("{scenario: tiny.yaml, seeds: [1]}"))
    with pytest.raises(ScenarioError, match=what):
        plans.with_until(plan, **options)


def sequential(values, precision, most=400):
    """The interval of a stream of replications at which the rule stops."""
    count = 10
    while True:
        found = statistics.student_t(values[:count])
        wanted = statistics.replications_wanted([found], precision, most)
        if wanted == count:
            return found
        count = wanted


@pytest.mark.parametrize(
    ("replications", "tolerance"), [(400, 0.04), pytest.param(4000, 0.0115, marks=pytest.mark.full)], ids=["short", "full"]
)
def test_sequential_intervals_cover_what_the_documents_say(replications, tolerance):
    """Gaussian values, 5 % and 8 % about their mean, to within 2 %: over 3 standard errors about the numbers in docs/studies.md."""
    for spread, covered in ((0.05, 0.936), (0.08, 0.944)):
        streams = Streams(1).generator("bootstrap", 7)
        found = [sequential(streams.normal(1, spread, 1000), 0.02, 1000) for _ in range(replications)]
        assert np.mean([one.low <= 1 <= one.high for one in found]) == pytest.approx(covered, abs=tolerance)


def test_a_run_alone_is_not_sequential(tmp_path):
    run = cosim.run(
        cosim.Scenario.model_validate({"rounds": 2, "devices": {"count": 3}, "learning": {"kind": "none"}}), out=tmp_path / "run"
    )
    assert not comparing.compare_directories([run.directory]).sequential
