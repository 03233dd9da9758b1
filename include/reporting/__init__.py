"""SHOWS. What the books say, as a page that a person reads: figures, charts, HTML. Pure as include.enrichment is.

May import include.enrichment, pyarrow and the library of its kind: pandas (figures.py), matplotlib (charts.py), jinja2
(page.py). Begin with figures.py.
"""
