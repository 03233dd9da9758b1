"""What a batch costs, with an arithmetic of its own: tokens, the prompt cache, charges, bills."""
