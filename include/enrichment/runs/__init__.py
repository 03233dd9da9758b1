"""The partition, the options and the passes of a run. Imports only errors.py."""
