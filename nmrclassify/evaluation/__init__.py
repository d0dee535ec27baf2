"""Predictions beside the truth: metrics, calibration, interpretation."""
