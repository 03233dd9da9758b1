"""Helpers of plan: the requests that a pass selects, the chunks in flight, the cost estimate and the budgets."""
