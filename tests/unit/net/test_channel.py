import pytest
from pydantic import ValidationError

from cosim.net.channel import Channel
from cosim.net.fading import BlockRayleigh, Jakes
from cosim.net.pathloss import UrbanMacro, UrbanMicro
from cosim.net.shadowing import CorrelatedShadowing


def test_defaults():
    channel = Channel()
    assert (channel.pathloss, channel.shadowing, channel.fading) == (UrbanMacro(), CorrelatedShadowing(), Jakes())


def test_a_node_becomes_its_component_and_back():
    document = {"pathloss": {"kind": "umi", "carrier_hz": 28e9}, "fading": {"kind": "block_rayleigh", "block_s": 0.5}}
    channel = Channel.model_validate(document)
    assert channel.pathloss == UrbanMicro(carrier_hz=28e9)
    assert channel.fading == BlockRayleigh(block_s=0.5)
    assert Channel.model_validate(channel.model_dump()) == channel


def test_fields_of_another_kind_are_refused():
    with pytest.raises(ValidationError):
        Channel.model_validate({"fading": {"kind": "none", "block_s": 0.5}})
