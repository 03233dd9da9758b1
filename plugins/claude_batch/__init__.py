"""AIRFLOW. Operators, sensor, trigger, the task group of the whole flow, trigger forms, usage report; thin.

May import Airflow, its providers, include.enrichment, include.gateways and include.steps. Only this room raises
Airflow's exceptions. Begin with task_group.py.
"""
