"""effml: run, sweep and tabulate efficient-machine-learning experiments against honest baselines."""

__version__ = "0.1.0"
