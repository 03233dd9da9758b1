"""The requests of a pass by the variant that they are sent for. A chunk holds requests of one variant only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from include.enrichment.answers.repair import Repair
from include.enrichment.requests.request_ids import RequestIds
from include.steps.files.extracted import ExtractedRun


def group_by_variant(
    request_ids: RequestIds, run: ExtractedRun, repairs: Iterable[Repair] = ()
) -> dict[str, RequestIds]:
    """
    Divide requests among the variants of the run, in their order. Without variants, all belong to the one that has no
    name.

    A variant without any of them is left out. A repair belongs to the variant of the request that it repairs.
    """
    if not run.pipeline.variants:
        return {"": request_ids}
    made = [(repair.of, repair.request.request_id) for repair in repairs]
    repaired = pa.array([of for of, _ in made], pa.string())
    ids = pa.array([request_id for _, request_id in made], pa.string())
    groups = {
        name: request_ids & (of_rows | ids.filter(of_rows.find(repaired).is_valid()))
        for name, of_rows in run.by_variant.items()
    }
    return {name: found for name, found in groups.items() if found}


def sizes_by_variant(sizes: pa.Table, groups: Mapping[str, RequestIds]) -> dict[str, pa.Table]:
    """
    Divide the sizes of requests, each part sorted by ``request_id`` like the whole.

    :param sizes: as read_sizes() returns them
    :param groups: the same requests, as group_by_variant() returns them
    """
    if groups.keys() == {""}:
        return {"": sizes}
    every = RequestIds(sizes["request_id"])
    return {name: sizes.take(every.find(of_one.array)) for name, of_one in groups.items()}
