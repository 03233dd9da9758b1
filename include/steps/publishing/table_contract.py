"""The contract of the published table: all days have the same key types."""

from __future__ import annotations

from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake


def last_manifest(lake: Lake, pipeline: str) -> Manifest | None:
    """
    Return the manifest of the last published day that has rows, or None if there is none.

    A day without rows is skipped: an earlier version published its key as text, whatever the type on other days. A
    damaged manifest is skipped too.
    """
    keys = filter(layout.is_manifest, reversed(lake.list(layout.manifests_folder(pipeline))))
    return next((found for key in keys if (found := _read(lake, key)) and found.rows), None)


def _read(lake: Lake, key: str) -> Manifest | None:
    stored = lake.find(key)
    try:
        return parse(Manifest, stored.data, lake.locate(key)) if stored else None
    except ValidationError:
        return None
