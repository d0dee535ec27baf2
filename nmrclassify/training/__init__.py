"""The training loop, recipes, checkpoints, runs and jobs."""
