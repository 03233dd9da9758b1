"""The checks of checks.yaml: what each kind needs of a row, and its verdict on an answer. Start at checks.py."""
