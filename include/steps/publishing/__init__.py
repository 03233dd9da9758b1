"""Helpers of publish: the answer that each row gets, the files that are published, and the cost of the run."""
