"""Reads and checks requests, ends batches, and remembers them. Begin with batches.py."""
