"""One package per paper: `config.py` (standard library only) and `run.py` (the experiment, read top to bottom)."""
