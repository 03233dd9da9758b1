"""The plans of a run's passes as files on the lake, and the repairs that a retry pass has made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.repair import Repair
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.errors import LakeError
from include.enrichment.runs import passes
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import check_stamp, parse, with_stamp
from include.gateways.lake import Lake, ObjectMissing

_REPAIRS_SCHEMA = pa.schema([("request_id", pa.string()), ("repair_id", pa.string()), ("depth", pa.int64())])


def read_plan(lake: Lake, folder: RunFolder, pass_name: str, extracted_at: datetime) -> PassPlan | None:
    """
    Return the plan of one pass, or None if the pass was not planned since that extract. Raises LakeError for a plan
    that cannot be read.
    """
    key = folder.plan_json(pass_name)
    if (stored := lake.find(key)) is None:
        return None
    try:
        plan = parse(PassPlan, stored.data, lake.locate(key))
    except ValidationError as error:
        raise LakeError(
            f"{lake.locate(key)} cannot be read by this version: {error}. Clear the `plan` of pass {pass_name}: it"
            " writes the plan again, and nothing is billed again.",
            retryable=False,
        ) from error
    return plan if plan.extracted_at == extracted_at else None


def read_plans(lake: Lake, folder: RunFolder, extracted_at: datetime) -> dict[str, PassPlan]:
    """Return the plans of all of the run's passes, in their order, without those of an earlier extract."""
    names = [key.rpartition("/")[2].removesuffix(".json") for key in lake.list(folder.plans) if key.endswith(".json")]
    plans = {name: read_plan(lake, folder, name, extracted_at) for name in sorted(names, key=_order)}
    return {name: plan for name, plan in plans.items() if plan}


def _order(pass_name: str) -> tuple[bool, bool, str]:
    return passes.is_retry(pass_name), pass_name != passes.CANARY, pass_name


def write_plan(plan: PassPlan, repairs: Sequence[Repair] | None, pass_name: str, folder: RunFolder, lake: Lake) -> None:
    """Write the plan of a pass, after the repairs that it made; None for a pass that makes none."""
    if repairs is not None:
        table = repairs_table(repairs).cast(with_stamp(_REPAIRS_SCHEMA))
        pq.write_table(table, sink := pa.BufferOutputStream())
        lake.write(folder.repairs(pass_name), sink.getvalue().to_pybytes())
    lake.write(folder.plan_json(pass_name), plan.model_dump_json(indent=1).encode())


def repairs_table(repairs: Iterable[Repair]) -> pa.Table:
    """Return repairs as read_repairs() does."""
    lines = [
        {"request_id": repair.of, "repair_id": repair.request.request_id, "depth": repair.depth} for repair in repairs
    ]
    return pa.Table.from_pylist(lines, _REPAIRS_SCHEMA)


def read_repairs(lake: Lake, folder: RunFolder, pass_names: Iterable[str]) -> pa.Table:
    """
    Return the repairs that these passes made: ``request_id``, ``repair_id`` and ``depth``. An earlier version wrote no
    depth and made no repair of a repair.
    """
    keys = [folder.repairs(name) for name in pass_names if passes.is_retry(name)]
    try:
        tables = [pq.read_table(pa.BufferReader(lake.read(key))) for key in keys]
    except (ObjectMissing, pa.ArrowInvalid) as error:
        raise LakeError(
            f"The repairs of run {folder.run_id} cannot be read ({', '.join(map(lake.locate, keys))}): {error}. Clear"
            " the `plan` of the retry pass: it writes them again, and nothing is billed again.",
            retryable=False,
        ) from error
    for key, table in zip(keys, tables, strict=True):
        check_stamp(table.schema.metadata, lake.locate(key))
    together = pa.concat_tables([_REPAIRS_SCHEMA.empty_table(), *tables], promote_options="default")
    together = together.set_column(2, "depth", pc.fill_null(together["depth"], 1))
    return together.group_by(_REPAIRS_SCHEMA.names).aggregate([])
