"""An agent whose process is killed at every step."""
