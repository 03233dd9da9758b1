"""The tasks that ask synchronously."""
