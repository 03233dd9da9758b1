"""
Computes intervals, tests and agreement from plain numbers. Knows neither metrics nor variants.

The scores seed every random draw, so the same scores always give the same figures.
"""
