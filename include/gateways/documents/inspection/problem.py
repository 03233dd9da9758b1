"""A document that cannot be sent."""

from __future__ import annotations


class Problem(Exception):
    """
    The document cannot be sent. The message continues "the document".

    :param media_type: what its bytes are all the same; empty: unknown
    """

    def __init__(self, message: str, *, media_type: str = "") -> None:
        super().__init__(message)
        self.media_type = media_type
