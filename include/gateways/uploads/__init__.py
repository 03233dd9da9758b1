"""Uploaded files: the calls of the Files API, and the records of files on the lake. Begin with claude_files.py."""
