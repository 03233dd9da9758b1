"""Helpers of load: result lines become outcomes."""
