"""Checks requests, ends batches, and stores both. Begin with batches.py."""
