"""When requests are asked one by one instead of in a batch, and by whom."""
