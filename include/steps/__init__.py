"""The steps of a run, in order: extract, plan, submit, wait, load, publish. Outside of a run: dry_run, summarise,
clean, usage_report. In each step enrichment decides and gateways act.

May import include.enrichment, include.gateways and include.reporting; never Airflow. Every step can be run again at any
time and then does only what is left to do. Begin with extract.py.
"""
