"""AIRFLOW. Operators, a sensor with its trigger, and the task group that makes the whole flow; thin.

May import Airflow, its providers, include.enrichment, include.gateways and include.steps. Only this room knows
Airflow's exceptions. Begin with task_group.py.
"""
