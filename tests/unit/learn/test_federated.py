import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cosim.catalog import KINDS, kind_of, make, resolve
from cosim.learn.data import SMALL_FILE
from cosim.learn.federated import Federated
from cosim.learn.flower import Flower
from cosim.learn.models import MLP
from cosim.learn.pruner import Taylor
from cosim.learn.split import Split

REQUIRED = {  # fields without a default
    "flower": {"client": "my_clients:app"},
    "torch_module": {"factory": "my_models:make"},
    "npz": {"file": str(SMALL_FILE)},
    "table": {"file": str(Path(__file__).parents[3] / "scenarios" / "traces" / "streets_12dev.csv"), "label": "device"},
}
ROLES = ("learning", "dataset", "partition", "model", "trainer", "pruner", "codec", "aggregator", "server_optimizer")


def test_every_kind_exists_and_none_loads_torch():
    code = (
        "import sys\n"
        "from cosim.catalog import KINDS, resolve\n"
        f"for role in {ROLES!r}:\n"
        f"    for kind in KINDS[role]: resolve(role, kind)(**{REQUIRED!r}.get(kind, {{}}))\n"
        "from cosim.learn.network_only import NetworkOnly\n"
        "from cosim.rng import Streams\n"
        "NetworkOnly().start(3, Streams(0), workers=1).evaluate(0)\n"
        "heavy = {'torch', 'pandas', 'scipy.stats', 'pooch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("role", ROLES)
def test_kinds_have_a_description_and_units(role):
    for kind in KINDS[role]:
        component = resolve(role, kind)
        assert component.__doc__
        assert kind_of(role, make(role, kind, **REQUIRED.get(kind, {}))) == kind
        for name, field in component.model_fields.items():
            assert field.description or name in (*ROLES, "of"), name


def test_a_document_makes_it_and_it_makes_a_document():
    document = {
        "partition": {"kind": "iid", "samples_per_device": 50},
        "model": {"kind": "mlp", "hidden": [30, 20]},
        "split": {"personal_layers": 2},
        "pruner": {"kind": "taylor", "side": "server", "scope": "global"},
        "evaluate_every": 5,
    }
    made = Federated.model_validate(document)
    assert made.model == MLP(hidden=(30, 20))
    assert Federated.model_validate(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"split": {"personal_layers": 4}}, "allowed: 0 to 3"),
        ({"partition": {"kind": "classes_per_device", "classes": 11}}, "the data have 10 classes"),
        ({"model": {"kind": "cnn", "kernel": 20}}, "layer conv2 gets 4 x 4 values: its kernel of 20 is larger"),
        ({"model": {"kind": "cnn", "filters": [8]}}, "filters"),
        ({"model": {"kind": "mlp", "hidden": [0]}}, "greater than or equal to 1"),
        ({"trainer": {"kind": "sgd", "momentum": 1.0}}, "momentum"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_data_are_loaded(document, message):
    with pytest.raises(ValidationError, match=message):
        Federated.model_validate(document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"config": {"batch-size": 3}}, "batch-size is told to the client anyway"),
        ({"config": {"rates": [1, 2]}}, "config"),
        ({"global_steps": 0}, "greater than or equal to 1"),
        ({"client": "no_colon"}, "client"),
    ],
)
def test_settings_of_a_flower_client(document, message):
    with pytest.raises(ValidationError, match=message):
        Flower(**{"client": "my_clients:app", **document})


def test_what_a_flower_client_cannot_do_is_refused(monkeypatch):
    trainer = Flower(client="my_clients:app")
    with pytest.raises(ValidationError, match=r"a client trains one model; split\.personal_layers = copy"):
        Federated(trainer=trainer, split=Split(personal_layers="copy"))
    with pytest.raises(ValidationError, match="clients tell no gradients"):
        Federated(trainer=trainer, pruner=Taylor())
    monkeypatch.setattr("cosim.learn.flower.find_spec", lambda _: None)
    with pytest.raises(ValidationError, match=r"needs the package flwr, which is not installed: pip install 'cosim\[flower\]'"):
        Federated(trainer=trainer)
