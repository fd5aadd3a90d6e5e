"""Accel-GCN: sparse products on real degree distributions (Xie et al., ICCAD 2023, arXiv 2308.11825)."""
