"""The published table is one contract over all days: what the last of them says of the next."""

from __future__ import annotations

from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake


def last_manifest(lake: Lake, pipeline: str) -> Manifest | None:
    """
    The manifest of the last published day that has rows; None if there is none.

    One without rows says nothing: before there was this contract its key was published as text, whatever the other
    days had. One that is damaged is passed over.
    """
    keys = filter(layout.is_manifest, reversed(lake.list(layout.manifests_folder(pipeline))))
    return next((found for key in keys if (found := _read(lake, key)) and found.rows), None)


def _read(lake: Lake, key: str) -> Manifest | None:
    stored = lake.find(key)
    try:
        return parse(Manifest, stored.data, lake.locate(key)) if stored else None
    except ValidationError:
        return None
