"""The routes, the ASGI server, and broken connections. Begin with app.py."""
