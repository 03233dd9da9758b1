"""
The commands behind the Makefile: run, show, report, clean-lake, demo, down. Begin with __main__.py.

May import everything but the emulator. Only foreground/dag_run.py imports Airflow and claude_batch at its top.
"""
