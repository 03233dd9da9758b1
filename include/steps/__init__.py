"""The steps of a run, in order: extract, plan, submit, load, publish; and what is done beside the runs: summary, clean,
usage_report. Each one joins what enrichment decides to what gateways touch.

May import include.enrichment, include.gateways and include.reporting; never Airflow. Every step may be run again at any
time, and then does only what is still to do. Begin with extract.py.
"""
