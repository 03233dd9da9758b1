"""The files that steps hand to each other on the lake."""
