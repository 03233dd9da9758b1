"""AIRFLOW. Operators, a sensor with its trigger, the task group that makes the whole flow, the usage report; thin.

May import Airflow, its providers, include.enrichment, include.gateways and include.steps. Only this room knows
Airflow's exceptions. Begin with task_group.py.
"""
