"""The transformer that RetNet is measured against: same rotation, norms and width, as many weights, attention inside."""

from effml.models.transformer.decoder import KeyValueCache, Transformer

__all__ = ["KeyValueCache", "Transformer"]
