"""How a pipeline asks for each row: its request settings, prompts, schema and examples, in one or several variants."""

#: The name of the variant that has the pipeline's own settings, unless one without changes has another.
CURRENT = "current"
