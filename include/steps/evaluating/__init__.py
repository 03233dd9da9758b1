"""The parts of evaluate: what it reads from the lake, and the facts of each variant."""
