"""DeeDiff (AdaDiff): early exit of diffusion networks, measured against what people would use instead."""
