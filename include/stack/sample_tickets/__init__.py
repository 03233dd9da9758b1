"""The sample of the pipelines tickets and ticket_actions: support tickets of an imaginary shop, and its orders."""
