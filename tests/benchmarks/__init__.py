"""
Benchmarks against peers; they are not part of `make test`. The peers have an environment of their own
(requirements.lock in this folder) and are never installed into .venv.

Time and memory (`make bench`): begin at __main__.py; contenders.py lists who is measured, and report.py writes the
report. A peer under faults (`make chaos`): begin at llm_batch_operator.py; faults.py lists the faults, and
peer_airflow.py is the peer's Airflow.
"""
