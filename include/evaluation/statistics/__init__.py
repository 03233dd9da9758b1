"""
Computes intervals, tests and agreement from plain numbers. Knows neither metrics nor variants.

Every random draw starts from the same seed, so the same scores always give the same figures.
"""
