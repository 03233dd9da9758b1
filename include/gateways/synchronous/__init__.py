"""The synchronous calls of the Messages API."""
