"""The output schema: what the API accepts, what a column can hold, whether an answer fits."""
