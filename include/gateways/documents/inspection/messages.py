"""
What the inspector and its child process say to each other, in MessagePack: a request, and its reply.

Before the reply, the child says of which kind the document is, as soon as it knows: what comes then may crash it.
"""

from __future__ import annotations

import struct

import msgspec

from include.enrichment.documents.document import Inspected

#: Comes before each message: its length in bytes.
LENGTH = struct.Struct(">Q")
#: What the child sends once it can work.
READY = b"ready"


class Inspect(msgspec.Struct, frozen=True, tag=True):
    """Inspect the file at ``path``. The reply is Found or DiskFailed."""

    path: str


class Make(msgspec.Struct, frozen=True, tag=True):
    """Make the file ``out`` from the one at ``path``. The reply is Made, CannotMake or DiskFailed."""

    path: str
    recipe: str
    out: str


class Kind(msgspec.Struct, frozen=True, tag=True):
    """The media type of the document. The reply follows."""

    media_type: str


class Found(msgspec.Struct, frozen=True, tag=True):
    """What inspection found."""

    inspected: Inspected


class Made(msgspec.Struct, frozen=True, tag=True):
    """The file was made."""


class CannotMake(msgspec.Struct, frozen=True, tag=True):
    """The document does not allow it. ``problem`` continues "the document"."""

    problem: str


class DiskFailed(msgspec.Struct, frozen=True, tag=True):
    """A local file could not be read or written: the document is not at fault."""

    number: int
    text: str
    path: str


Request = Inspect | Make
Reply = Found | Made | CannotMake | DiskFailed
