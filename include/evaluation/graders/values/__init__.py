"""Graders of single values: texts, numbers, dates."""
