"""RetNet (arXiv 2307.08621): a decoder that trains in parallel and generates from a state of fixed size."""

from effml.models.retnet.decoder import RetNet, RetNetState

__all__ = ["RetNet", "RetNetState"]
