"""The project's own files: their revision, and the hashes of a pipeline's folder."""
