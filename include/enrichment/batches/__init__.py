"""The life of a batch: what a pass sends, the ledger, submission, polling, prior results, usage records."""
