"""Where each object lies on the lake, its version, and when small index files are compacted."""
