"""From a row to a request: templates, the texts of values, request ids and chunks. Begin with request.py."""
