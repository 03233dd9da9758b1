"""DECIDES. Pure functions and values, in rooms: spec, runs, requests, batches, answers, cost, storage.

May import the standard library, pydantic, pyarrow, jinja2, msgspec, jsonschema-rs and PyYAML, but not Airflow, the
Anthropic SDK or an object store. Reads neither the clock nor the environment. Only spec/pipeline_folder.py,
spec/parse_time.py and cost/prices.py read files. Begin with spec/pipeline_folder.py and follow a row.
"""
