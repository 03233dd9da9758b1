"""What an agent may do, when it must stop, and what its transcript says. Pure; gateways/agent acts."""
