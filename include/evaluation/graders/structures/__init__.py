"""Graders of lists and objects."""
