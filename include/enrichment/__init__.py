"""DECIDES. Pure functions and values: spec, request, chunk, poll, outcome, table, ledger.

May import the standard library, pydantic, pyarrow, jinja2, msgspec, jsonschema-rs, PyYAML; never Airflow, the Anthropic
SDK, an object store, a clock or the environment (spec.py alone reads files: its own pipeline's folder). Begin with
spec.py and follow a row.
"""
