"""A small language model of our own: what it takes to compare prompting methods live, without any key.

tokens and gpt (the model), traces (what it is taught), train, generate (batched, cached), backend (for the port).
"""
