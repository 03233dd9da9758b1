"""Documents and images in requests: what is in them, how they are sent, and how stored requests refer to them."""
