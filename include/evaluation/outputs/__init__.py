"""The files of an evaluation that programs read: its scores, its metrics, and a report for CI."""
