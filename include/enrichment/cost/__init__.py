"""Prices, estimates, budgets, and whether the prompt cache pays."""
