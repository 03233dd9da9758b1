"""Evidence: the page and the quote behind each value, located in the documents by code. Begin with grounding.py."""
