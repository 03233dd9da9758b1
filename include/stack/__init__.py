"""
The embedded stack of `make demo` and the tests: Airflow, S3, warehouse and emulated API, in one folder on one machine.

May import only its own clients. Only include/cli and the tests import it. Begin with stack.py for what a stack consists
of, and with processes.py for how it is started and stopped.
"""
