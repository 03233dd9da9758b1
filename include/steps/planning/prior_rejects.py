"""The rejects of a day: where the newest ones are, and a summary of them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import pyarrow.parquet as pq

from include.enrichment.answers import reject_messages
from include.enrichment.answers.outcome import is_paid
from include.enrichment.answers.reject_messages import Rejected
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.steps.files.extracted import read_pipeline


def find_newest_rejects(folder: RunFolder, lake: Lake) -> str | None:
    """
    Return the key of the rejects that were written last for the run's partition, or None if there are none: the
    published ones, or those that a run left in its folder when it failed to publish. Rejects of a trial do not count.
    """
    published = layout.rejects(folder.pipeline, folder.partition)
    listed = lake.objects(f"{published.rpartition('/')[0]}/")
    listed += lake.objects(layout.runs_of(folder.pipeline, folder.partition))
    keys = {each.key for each in listed}
    newest_first = sorted(listed, key=lambda each: each.changed_at, reverse=True)
    return next((each.key for each in newest_first if each.key == published or _is_left(each.key, keys, lake)), None)


def _is_left(key: str, keys: Set[str], lake: Lake) -> bool:
    """
    Whether these are the rejects of a run that failed to publish.

    :param keys: all objects of the runs. A run without its first file is being deleted: see clean.py
    """
    run = layout.run_of(key) if layout.is_of_run(key) else None
    if run is None or key != run.rejects or run.pipeline_json not in keys:
        return False
    return read_pipeline(lake, run).options.rows is None


def tally_rejects(rejects: Path, keys: Sequence[str]) -> tuple[Rejected, int]:
    """
    Summarise the rejected rows, and count the requests among them that were not billed. The answers are not read.

    :param rejects: a file of rejects
    :param keys: the columns of the business key
    """
    rejected = Rejected()
    unbilled: set[str] = set()
    with pq.ParquetFile(rejects) as file:
        for batch in file.iter_batches(columns=[*keys, "outcome", "reason", "_request_id"]):
            for line in batch.to_pylist():
                request_id = line["_request_id"]
                outcome = line["outcome"] if request_id else reject_messages.UNSENDABLE
                rejected.add(" ".join(str(line[key]) for key in keys), outcome, line["reason"])
                if request_id and not is_paid(outcome):
                    unbilled.add(request_id)
    return rejected, len(unbilled)
