"""Helpers of extract: the typed columns of the rows."""
