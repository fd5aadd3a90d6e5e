"""Reducing a network's ReLUs to a budget: gated network, masks, budgets, selection strategies, fitting."""
