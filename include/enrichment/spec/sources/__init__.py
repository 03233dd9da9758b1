"""What a pipeline's folder says of the source of its rows."""
