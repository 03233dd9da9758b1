"""The objects that attachments are made of: where they are, and what is in them. Begin with buckets.py."""
