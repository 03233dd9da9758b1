"""The refunds service of the sample's shop: a real HTTP server, for the tool of ticket_actions that writes."""
