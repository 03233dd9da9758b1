"""What the checks need to know of a text, without rows and settings."""
