"""What evaluation.yaml says."""
