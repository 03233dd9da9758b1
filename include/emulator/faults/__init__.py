"""Faults that a user can request: their kinds, the list in JSON or YAML, and the armed ones. Begin with kinds.py."""
