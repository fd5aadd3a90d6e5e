"""ST-GCN for skeletons, with LinGCN's structural linearization. Import from the modules: `plain` and `graph` need no torch."""
