"""What the inspector and its child process say to each other."""

from __future__ import annotations

import msgspec
import pytest

from include.enrichment.documents.document import PDF, Inspected, Page
from include.gateways.documents.inspection.messages import (
    CannotMake,
    DiskFailed,
    Found,
    Inspect,
    Kind,
    Made,
    Make,
    Reply,
)


@pytest.mark.parametrize(
    "message",
    [
        Inspect("/a"),
        Make("/a", "pages 1-2", "/b"),
        Kind(PDF),
        Found(Inspected(media_type=PDF, pages=[Page(number=1, text="é\n", image_share=0.5, rules=3)], pixels=(1, 2))),
        Made(),
        CannotMake("has 0 pages"),
        DiskFailed(28, "No space left on device", "/b"),
    ],
)
def test_a_message_is_the_same_on_the_other_side(message: Inspect | Make | Kind | Reply) -> None:
    sent = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(sent, type=Inspect | Make | Kind | Reply) == message
