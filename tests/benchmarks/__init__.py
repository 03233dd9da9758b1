"""
Measured against others, and no part of `make test`. What others need is in an environment of its own
(requirements.lock beside this file), never in .venv.

What it takes (`make bench`): begin at __main__.py; contenders.py has who is measured, report.py what is made of it.
What a peer does under faults (`make chaos`): begin at llm_batch_operator.py; faults.py has what goes wrong,
peer_airflow.py the Airflow it goes wrong in.
"""
