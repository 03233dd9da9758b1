"""DECIDES. Pure functions and values: spec, passes, request, chunk, planning, submission, poll, outcome, table, ledger.

May import the standard library, pydantic, pyarrow, jinja2, msgspec, jsonschema-rs, PyYAML; never Airflow, the Anthropic
SDK, an object store, a clock or the environment (spec.py and glance.py alone read files of a pipeline's folder, and
prices.py the prices).
Begin with spec.py and follow a row.
"""
