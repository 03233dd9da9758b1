"""Judges: pipelines that grade the answers of another one, and what their published rows say. Begin with judge.py."""
