"""SHOWS. The report of an evaluation: one HTML file with the verdict, the figures and the cases to read. Pure.

May import include.evaluation, pandas, and what include.reporting may. Begin with page.py.
"""
