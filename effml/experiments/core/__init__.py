"""What every experiment shares: registry, config, run, store, engines, measuring, tables."""
