"""What is known about the quality of a model: intervals, baselines, calibration, sets with coverage, curves, slices."""
