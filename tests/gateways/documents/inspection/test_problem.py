"""A document that cannot be sent."""

from __future__ import annotations

from include.gateways.documents.inspection.problem import Problem


def test_a_problem_continues_the_document_and_keeps_what_is_known_of_its_type() -> None:
    problem = Problem("is image/tiff, which cannot be sent", media_type="image/tiff")
    assert (str(problem), problem.media_type) == ("is image/tiff, which cannot be sent", "image/tiff")
    assert Problem("is empty (0 bytes)").media_type == ""
