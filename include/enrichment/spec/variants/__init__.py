"""What a pipeline has in several variants, which are compared on the same rows."""
