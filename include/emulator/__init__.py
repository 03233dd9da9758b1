"""
An emulator of the Message Batches API and the Messages API, a server of its own: ``python -m include.emulator``.

It imports starlette, uvicorn and msgspec, but neither the rest of the project nor the Claude SDK. Read http/app.py
(routes) first, then engine/batches.py (the life of a batch), engine/results.py (from requests to result lines) and
billing/bills.py (what each batch costs, at the prices in billing/charges.py). For synchronous messages, read
http/message_routes.py.
"""
