"""Classical methods, to compare the networks with."""
