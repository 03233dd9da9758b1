"""The rules for every call: authentication, response headers, the log."""

from __future__ import annotations

import re

import httpx2
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request
from tests.fixtures.emulator import Emulator

LIST = "/v1/messages/batches"


def get(emulator: Emulator, path: str = LIST, **headers: str) -> httpx2.Response:
    """Send a GET with these headers (underscores for dashes) and a version."""
    sent = {"anthropic-version": "2026-10-21", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx2.get(f"{emulator.url}{path}", headers=sent)


def test_either_header_may_carry_the_key_of_a_workspace(emulator: Emulator) -> None:
    responses = [get(emulator, x_api_key=emulator.api_key), get(emulator, authorization=f"Bearer {emulator.api_key}")]
    assert [response.status_code for response in responses] == [200, 200]
    assert len({response.headers["anthropic-workspace-id"] for response in responses}) == 1


@pytest.mark.parametrize("headers", [{}, {"x_api_key": "invalid-key"}, {"authorization": "Basic abc"}])
def test_without_a_valid_key_there_is_a_401(emulator: Emulator, headers: dict[str, str]) -> None:
    response = get(emulator, **headers)
    assert response.status_code == 401
    assert response.json()["error"] == {"type": "authentication_error", "message": "API key is invalid."}


@pytest.mark.parametrize(("version", "status"), [("2023-06-01", 200), ("2026-10-21", 200), ("2025-01-01", 400)])
def test_known_versions_are_accepted(emulator: Emulator, version: str, status: int) -> None:
    assert get(emulator, x_api_key=emulator.api_key, anthropic_version=version).status_code == status


def test_another_workspaces_id_is_rejected(emulator: Emulator) -> None:
    mine = get(emulator, x_api_key=emulator.api_key).headers["anthropic-workspace-id"]
    assert get(emulator, x_api_key=emulator.api_key, anthropic_workspace_id=mine).status_code == 200
    assert get(emulator, x_api_key=emulator.api_key, anthropic_workspace_id="wrkspc_x").status_code == 400


@pytest.mark.parametrize("path", [LIST, f"{LIST}/msgbatch_unknown", "/v1/models"])
def test_every_response_has_the_standard_headers(emulator: Emulator, path: str) -> None:
    headers = get(emulator, path, x_api_key=emulator.api_key).headers
    assert headers["request-id"].startswith("req_")
    assert headers["anthropic-workspace-id"].startswith("wrkspc_")
    assert headers["anthropic-organization-id"]
    assert int(headers["anthropic-ratelimit-requests-remaining"]) < int(headers["anthropic-ratelimit-requests-limit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000000Z", headers["anthropic-ratelimit-requests-reset"])


def test_an_unknown_path_is_a_404_with_the_apis_error(emulator: Emulator) -> None:
    response = get(emulator, "/v1/nothing", x_api_key=emulator.api_key)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


def test_the_old_beta_query_is_ignored(emulator: Emulator) -> None:
    assert get(emulator, f"{LIST}?beta=true", x_api_key=emulator.api_key).status_code == 200


def test_the_log_lists_calls_and_batches_of_this_workspace(emulator: Emulator, client: Anthropic) -> None:
    create(client, request())
    batch = ended(client, create(client, request()).id)
    client.messages.batches.delete(batch.id)
    log = emulator.log()
    assert [call["path"] for call in log["calls"]][:2] == [LIST, LIST]
    assert log["calls"][-1]["method"] == "DELETE"
    assert [call["status"] for call in emulator.creates()] == [200, 200]
    assert [made["deleted"] for made in log["batches"]] == [False, True]
    assert log["batches"][1]["id"] == batch.id


def test_a_clock_only_goes_forward(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="advance_seconds"):
        emulator.advance_clock(-1)
