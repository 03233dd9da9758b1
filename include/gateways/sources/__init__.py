"""The sources of rows, one file per kind. Begin with source.py."""
