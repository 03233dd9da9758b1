"""The sources of rows, one file per kind. Begin with warehouse.py."""
