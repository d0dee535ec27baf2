"""The networks, their layers, losses and matching."""
