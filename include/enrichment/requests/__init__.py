"""From a row to a request: templates, the texts of values, the request id, chunks."""
