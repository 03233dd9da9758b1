"""The cascade: which answers a dearer model is asked again for, and with which request."""
