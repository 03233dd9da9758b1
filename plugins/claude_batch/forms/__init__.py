"""The trigger form of a pipeline's Dag."""
