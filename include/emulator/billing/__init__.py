"""The cost of a batch, computed independently of the project: tokens, the prompt cache, charges, bills."""
