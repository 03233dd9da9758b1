"""Everything that is not Airflow's: what a pipeline decides, what it touches, and the pipelines themselves.

Importable as ``include.<room>`` with the project's root on PYTHONPATH. tests/test_rooms.py says who may import whom.
"""
