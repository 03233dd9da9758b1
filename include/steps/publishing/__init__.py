"""Helpers of publish: which answer each row gets, and both side by side in source order."""
