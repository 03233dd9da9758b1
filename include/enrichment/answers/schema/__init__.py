"""The output schema: what the API accepts, what a column can hold, whether an answer fits. Begin with output.py."""

#: The column of an answer without an output schema. It is here because a Dag file's parse loads no pyarrow.
TEXT_COLUMN = "text"
