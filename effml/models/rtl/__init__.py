"""Verilog by language models, refined against real tools: verdicts, equivalence, synthesis, timing, and the loop.

Paper: VeriPPA / LLM-VeriPPA (Thorat et al., arXiv 2312.01022 and 2510.15899).
"""
