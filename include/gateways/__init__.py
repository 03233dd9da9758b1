"""TOUCHES the world: one file for each outside thing. claude, warehouse, parquet_files, lake (objects), ledger and
results (both on the lake).

May import include.enrichment and the client of that one thing; never Airflow. Foreign exceptions become ours here and
nowhere else. Begin with lake.py.
"""
