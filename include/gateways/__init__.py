"""TOUCHES the world: one file for each outside thing, for example the API, the lake, or the ledger on the lake.

May import include.enrichment and the client of that one thing, never Airflow. Foreign exceptions are translated here
and nowhere else. Begin with lake.py.
"""
