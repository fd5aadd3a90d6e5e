"""The command line: one module per verb, thin; imports nothing heavy."""
