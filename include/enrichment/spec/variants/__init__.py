"""How a pipeline asks for each row: its request settings, prompts, schema and examples, in one or several variants."""
