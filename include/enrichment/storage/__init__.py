"""The place of each object on the lake, its version, and the compaction of the index. Begin with layout.py."""
