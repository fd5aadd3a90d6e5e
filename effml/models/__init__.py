"""Torch modules and pipelines, free of experiments."""
