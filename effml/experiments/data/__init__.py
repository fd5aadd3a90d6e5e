"""Data sets by kind: each with a loader, a size, a licence, checksums and a source. Start at `registry`."""
