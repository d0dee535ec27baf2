"""The ppm axis, multiplets, and libraries of compounds."""
