"""Helpers of load: decode result lines and judge the answers in them."""
