"""Documents and images of requests: their pages, their text, and their tokens."""
