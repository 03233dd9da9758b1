"""Helpers of ask: the answers of a synchronous chunk, stored as they come."""
