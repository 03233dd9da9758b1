"""Runs an agent for one row: the SDK's tool runner, the functions of tools.py, and the transcript on the lake."""
