"""Helpers of plan: which requests a pass selects, what is in flight, the cost estimate."""
