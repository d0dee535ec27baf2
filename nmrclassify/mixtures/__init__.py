"""Mixtures of compounds: how they are made, edited, read and written."""
