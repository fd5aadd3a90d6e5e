"""What this device really does on the operators of AI (Peng et al., ICPE 2024 Companion, arXiv 2311.04417)."""
