"""The only clock: SimPy processes of the server, the uplink and the devices."""

from cosim.simulation.engine import Simulation as Simulation
from cosim.simulation.parts import Parts as Parts
from cosim.simulation.parts import Threshold as Threshold
