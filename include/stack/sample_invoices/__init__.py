"""The sample of the pipeline `invoices`: 60 documents of three days, made by code. Begin with documents.py."""
