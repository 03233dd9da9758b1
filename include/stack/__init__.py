"""
The embedded stack: everything a run needs, on one machine, below one folder, for `make demo`, `make run` and the tests.

May import include.enrichment and its own clients; only dag_run.py imports Airflow and claude_batch. Nothing but tests
imports it. Begin with demo.py for the order of things, with processes.py for how they are started and stopped.
"""
