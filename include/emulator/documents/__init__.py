"""Documents and images of requests: their pages, text and tokens; and the values that documents and texts name."""
