"""AIRFLOW. The second stage that acts: resolve() and its operators. Begin with resolve_group.py."""
