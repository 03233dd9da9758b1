"""SHOWS. The usage records as a page for people: figures, charts, HTML. Pure, like include.enrichment.

May import include.enrichment, pyarrow, matplotlib (charts.py) and jinja2 (page.py). Begin with figures.py.
"""
