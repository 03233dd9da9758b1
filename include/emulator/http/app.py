"""The application and its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from include.emulator.api_errors import envelope
from include.emulator.faults.kinds import Endpoint
from include.emulator.http import batch_routes, control_routes, file_routes, message_routes
from include.emulator.http.server import Handler, Server, endpoint, json_response

_ROUTES: tuple[tuple[str, str, Endpoint, Handler], ...] = (
    ("POST", "/v1/messages/batches", "create", batch_routes.create),
    ("GET", "/v1/messages/batches", "list", batch_routes.list_batches),
    ("GET", "/v1/messages/batches/{batch_id}", "retrieve", batch_routes.retrieve),
    ("DELETE", "/v1/messages/batches/{batch_id}", "delete", batch_routes.delete),
    ("POST", "/v1/messages/batches/{batch_id}/cancel", "cancel", batch_routes.cancel),
    ("GET", "/v1/messages/batches/{batch_id}/results", "results", batch_routes.results),
    ("POST", "/v1/files", "upload_file", file_routes.upload),
    ("GET", "/v1/files", "list_files", file_routes.list_files),
    ("GET", "/v1/files/{file_id}", "retrieve_file", file_routes.retrieve_file),
    ("DELETE", "/v1/files/{file_id}", "delete_file", file_routes.delete_file),
    ("GET", "/v1/files/{file_id}/content", "retrieve_file", file_routes.download_file),
    ("POST", "/v1/messages", "messages", message_routes.create_message),
    ("POST", "/v1/messages/count_tokens", "count_tokens", message_routes.count_tokens),
    ("GET", "/v1/models", "models", message_routes.list_models),
    ("GET", "/v1/models/{model_id}", "models", message_routes.retrieve_model),
)


def build(server: Server) -> Starlette:
    """Build the ASGI application; it resumes unfinished batches when it starts."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server.processing.resume()
        yield
        server.store.close()

    routes = [Route(path, endpoint(server, name, handler), methods=[verb]) for verb, path, name, handler in _ROUTES]
    routes += [
        Route("/_emulator/faults", control_routes.fault_routes(server), methods=["GET", "PUT", "DELETE"]),
        Route("/_emulator/clock", control_routes.clock_route(server), methods=["GET", "POST"]),
        Route("/_emulator/log", control_routes.log_route(server), methods=["GET"]),
        Route("/_emulator/bills", control_routes.bills_route(server), methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: _not_found, 405: _not_allowed})


async def _not_found(request: Request, error: Exception) -> Response:
    return json_response(envelope("not_found_error", "Not Found", None), 404)


async def _not_allowed(request: Request, error: Exception) -> Response:
    return json_response(envelope("invalid_request_error", "Method Not Allowed", None), 405)
