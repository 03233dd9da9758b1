"""What the commands print: how a run ended, the rows of a published day."""
