"""The network: motion, channel, uplink. It moves bits and knows no models."""
