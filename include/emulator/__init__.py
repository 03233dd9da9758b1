"""A stand-in for the Message Batches API: a server in its own process, started with ``python -m include.emulator``.

Imports the standard library, starlette, uvicorn and msgspec; nothing of the project and not the Claude SDK.
Begin at app.py (routes), then batches.py (a batch's life), settling.py (from requests to result lines) and
bills.py (what was paid, by the prices in prices.py).
"""
