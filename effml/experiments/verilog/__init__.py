"""Verilog by language models, refined against real tools."""
