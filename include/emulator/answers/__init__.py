"""Simulated structured outputs: the JSON Schema subset, and values that fit a schema."""
