"""The steps of a run, in order: extract, plan, submit, load, publish. Each one joins what enrichment decides to what
gateways touch.

May import include.enrichment and include.gateways; never Airflow. Every step may be run again at any time, and then
does only what is still to do. Begin with extract.py.
"""
