"""
The requests of a pass by the group that they belong to: a variant, or its escalated requests. A chunk holds requests of
one group only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from include.enrichment.answers.repair import ESCALATED_DEPTH, Repair
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.cascade.escalation import request_groups
from include.steps.files.extracted import ExtractedRun


def group_requests(request_ids: RequestIds, run: ExtractedRun, repairs: Iterable[Repair] = ()) -> dict[str, RequestIds]:
    """
    Divide requests among the groups of the run's pipeline (request_groups()). Without variants, all but the escalated
    ones belong to the one that has no name.

    A group without any of them is left out, unless there is no other. A repair, or an escalated request, belongs to the
    variant of the request that it is made from.
    """
    made, escalated = list[Repair](), list[Repair]()
    for repair in repairs:
        (escalated if repair.depth == ESCALATED_DEPTH else made).append(repair)
    groups = dict[str, RequestIds]()
    for name, group in request_groups(run.pipeline).items():
        of_rows = run.by_variant.get(group.variant)
        if group.escalation:
            groups[name] = request_ids & _made_of(of_rows, escalated)
        elif of_rows is None:
            groups[name] = request_ids - _made_of(None, escalated) if escalated else request_ids
        else:
            groups[name] = request_ids & (of_rows | _made_of(of_rows, made))
    found = {name: ids for name, ids in groups.items() if ids}
    return found or ({} if run.pipeline.variants else groups)


def _made_of(of_rows: RequestIds | None, repairs: Sequence[Repair]) -> RequestIds:
    """The ids of the repairs of these requests; None: of all."""
    ids = pa.array([repair.request.request_id for repair in repairs], pa.string())
    if of_rows is not None:
        ids = ids.filter(of_rows.find(pa.array([repair.of for repair in repairs], pa.string())).is_valid())
    return RequestIds(ids)


def sizes_by_group(sizes: pa.Table, groups: Mapping[str, RequestIds]) -> dict[str, pa.Table]:
    """
    Divide the sizes of requests, each part sorted by ``request_id`` like the whole.

    :param sizes: as read_sizes() returns them
    :param groups: the same requests, as group_requests() returns them
    """
    if groups.keys() == {""}:
        return {"": sizes}
    every = RequestIds(sizes["request_id"])
    return {name: sizes.take(every.find(of_one.array)) for name, of_one in groups.items()}
