"""
Measured against others: what a peer does under the faults that this project is tested with.

Runs in an environment of its own (requirements.lock beside this file), never in .venv, and is no part of `make test`.
Begin at llm_batch_operator.py; faults.py has what goes wrong, peer_airflow.py the Airflow it goes wrong in.
"""
