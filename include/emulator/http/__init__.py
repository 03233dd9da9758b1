"""The routes, the ASGI server, and what goes wrong on the wire. Begin with app.py."""
