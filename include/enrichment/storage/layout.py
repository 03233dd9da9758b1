"""
Where everything lies on the lake: one function for each kind of object, and no path is put together anywhere else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from include.enrichment.runs.partition import Partition


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """
    The working files of one run. They may be deleted once the run has ended; nothing outside the run reads them.

    :param run_id: Airflow's; characters that a path does not carry well become ``_``. Where that could make two ids
        alike, which those that Airflow makes never are, a hash follows
    """

    pipeline: str
    partition: Partition
    run_id: str

    @property
    def prefix(self) -> str:
        """The folder, ending in a slash."""
        name = re.sub(r"[^A-Za-z0-9_.-]|^[.]", "_", self.run_id)
        if re.search(r"[^A-Za-z0-9_.:+-]|^[.]", self.run_id):
            name += f"-{hashlib.sha256(self.run_id.encode()).hexdigest()[:8]}"
        return f"runs/{self.pipeline}/{self.partition}/{name}/"

    @property
    def pipeline_json(self) -> str:
        """The pipeline as it was when the run began: one run never mixes two versions."""
        return f"{self.prefix}pipeline.json"

    @property
    def foreground_json(self) -> str:
        """Of a run of `make run`: its id, when it began, and when it has ended."""
        return f"{self.prefix}foreground.json"

    @property
    def rows(self) -> str:
        """One line for each source row: business key, request_id, rendered params or the reason why there are none."""
        return f"{self.prefix}rows.parquet"

    @property
    def extract_json(self) -> str:
        """When the rows were read, and how many; written last, so that whoever finds it finds the rows."""
        return f"{self.prefix}extract.json"

    @property
    def counted_json(self) -> str:
        """What the API has counted in some of the requests."""
        return f"{self.prefix}counted.json"

    @property
    def dry_run_json(self) -> str:
        """What a dry run would have sent."""
        return f"{self.prefix}dry_run.json"

    @property
    def table(self) -> str:
        """What a trial has published."""
        return f"{self.prefix}table.parquet"

    @property
    def rejects(self) -> str:
        """The rejects of a trial, and of a run that failed to publish because there were too many."""
        return f"{self.prefix}rejects.parquet"

    @property
    def manifest(self) -> str:
        """The manifest of a trial."""
        return f"{self.prefix}manifest.json"

    def plan_json(self, pass_name: str) -> str:
        """What one pass sends, and where the answers are that it need not send for."""
        return f"{self.plans}{pass_name}.json"

    def repairs(self, pass_name: str) -> str:
        """The requests that a retry pass made anew of invalid answers: which request each one stands for."""
        return f"{self.plans}{pass_name}-repairs.parquet"

    @property
    def plans(self) -> str:
        """The folder of the passes' plans."""
        return f"{self.prefix}plan/"


def folder_of_run(prefixes: Iterable[str], run_id: str) -> RunFolder | None:
    """The run's folder, if it is among these; of another run's nothing but its name is known."""
    for prefix in prefixes:
        if is_warm_up(prefix):
            continue
        _, pipeline, day, *_ = prefix.split("/")
        folder = RunFolder(pipeline=pipeline, partition=Partition(start=date.fromisoformat(day)), run_id=run_id)
        if folder.prefix == prefix:
            return folder
    return None


def is_of_run(key: str) -> bool:
    """Whether a key is one of a working file."""
    return key.startswith("runs/") and key.count("/") >= 4


def run_of(key: str) -> RunFolder:
    """The run that a working file belongs to. Its id is the name of its folder, which gives the same paths."""
    _, pipeline, day, name, *_ = key.split("/")
    return RunFolder(pipeline=pipeline, partition=Partition(start=date.fromisoformat(day)), run_id=name)


def runs_folder(pipeline: str) -> str:
    """The folder of all runs of a pipeline."""
    return f"runs/{pipeline}/"


def runs_of(pipeline: str, partition: Partition) -> str:
    """The folder of all runs of a partition."""
    return f"{runs_folder(pipeline)}{partition}/"


def is_foreground(key: str) -> bool:
    """Whether a key of a folder of runs is one made by RunFolder.foreground_json."""
    return key.count("/") == 4 and key.endswith("/foreground.json")


def run_folder_of(key: str) -> str:
    """The folder of the run, as RunFolder.prefix has it, that a working file belongs to."""
    return "/".join(key.split("/")[:4]) + "/"


def chunks_folder(pipeline: str) -> str:
    """The folder of all chunk files of a pipeline."""
    return f"chunks/{pipeline}/"


def chunk(pipeline: str, chunk_id: str) -> str:
    """
    A chunk file. It is known by its content and belongs to no run: any run may wait for its batch and load it. Needed
    until the batch has landed.
    """
    return f"chunks/{pipeline}/{chunk_id}.parquet"


def chunk_id_of(chunk_key: str) -> str:
    """The chunk id in a key made by chunk()."""
    return chunk_key.rpartition("/")[2].removesuffix(".parquet")


def pipeline_of_chunk(chunk_key: str) -> str:
    """The pipeline in a key made by chunk()."""
    return chunk_key.split("/")[-2]


#: The folder of the ledgers of all pipelines.
LEDGER_FOLDER = "ledger/"


def ledger_folder(pipeline: str) -> str:
    """The folder of all ledger entries of a pipeline, and of its open chunks."""
    return f"{LEDGER_FOLDER}{pipeline}/"


def ledger_entry(pipeline: str, chunk_id: str) -> str:
    """What was intended and submitted for one chunk."""
    return f"{LEDGER_FOLDER}{pipeline}/{chunk_id}.json"


def entry_of(ledger_key: str) -> tuple[str, str] | None:
    """The pipeline and the chunk id in a key made by ledger_entry(); None for what else lies in the ledger's folder."""
    found = re.fullmatch(r"ledger/([^/]+)/([A-Za-z0-9_-]{22})\.json", ledger_key)
    return (found[1], found[2]) if found else None


def open_chunks(pipeline: str) -> str:
    """The chunks that are planned and have not landed yet. (No chunk id is that short.)"""
    return f"{LEDGER_FOLDER}{pipeline}/open.json"


def warm_ups(pipeline: str, prefix_id: str) -> str:
    """
    What an open chunk that warms the prompt cache has in the place of the folder of a run. Nothing lies there.

    :param prefix_id: of what it warms
    """
    return f"warm-ups/{pipeline}/{prefix_id}/"


def is_warm_up(folder: str) -> bool:
    """Whether the folder of an open chunk is one made by warm_ups()."""
    return folder.startswith("warm-ups/")


def raw(pipeline: str, batch_id: str) -> str:
    """A batch's results exactly as received, compressed. The API keeps them for 29 days only."""
    return f"raw/{pipeline}/{batch_id}.jsonl.zst"


def results(pipeline: str, batch_id: str) -> str:
    """A batch's outcomes, one line for each request."""
    return f"results/{pipeline}/{batch_id}.parquet"


#: The folder of what all batches of all pipelines used.
USAGE_FOLDER = "usage/"


def usage_folder(day: date) -> str:
    """The folder of what the batches used that were made on that day of UTC."""
    return f"{USAGE_FOLDER}dt={day:%Y-%m-%d}/"


def usage(pipeline: str, batch_id: str, day: date) -> str:
    """
    What a batch used and cost.

    :param day: when it was made
    """
    return f"{usage_folder(day)}{pipeline}.{batch_id}.parquet"


def is_usage(key: str) -> bool:
    """Whether a key of the folder of the books is one made by usage(), and no copy that somebody has put there."""
    return key.count("/") == 2 and key.endswith(".parquet")


def batch_of_usage(usage_key: str) -> tuple[str, str]:
    """The pipeline and the batch id in a key made by usage()."""
    pipeline, _, batch_id = usage_key.rpartition("/")[2].removesuffix(".parquet").rpartition(".")
    return pipeline, batch_id


#: The folder of the usage reports.
REPORTS_FOLDER = "reports/usage/"


def report(first: date, last: date) -> str:
    """The page of a usage report. The days, of which ``last`` is one, are all that makes the name."""
    return f"{REPORTS_FOLDER}{first:%Y-%m-%d}_{last:%Y-%m-%d}.html"


def report_summary(first: date, last: date) -> str:
    """The figures of a usage report."""
    return f"{REPORTS_FOLDER}{first:%Y-%m-%d}_{last:%Y-%m-%d}.parquet"


def days_of_report(report_key: str) -> tuple[date, date] | None:
    """The first and the last day in a key made by report(); None for any other key."""
    found = re.fullmatch(rf"{REPORTS_FOLDER}(\d{{4}}-\d\d-\d\d)_(\d{{4}}-\d\d-\d\d)\.html", report_key)
    if found is None:
        return None
    try:
        return date.fromisoformat(found[1]), date.fromisoformat(found[2])
    except ValueError:
        return None


def raw_folder(pipeline: str) -> str:
    """The folder of all raw results of a pipeline."""
    return f"raw/{pipeline}/"


def batch_id_of_raw(raw_key: str) -> str:
    """The batch id in a key made by raw()."""
    return raw_key.rpartition("/")[2].removesuffix(".jsonl.zst")


#: The folder of the results of all pipelines.
RESULTS_FOLDER = "results/"


def results_folder(pipeline: str) -> str:
    """The folder of all results of a pipeline."""
    return f"{RESULTS_FOLDER}{pipeline}/"


def pipeline_of_results(results_key: str) -> str:
    """The pipeline in a key made by results()."""
    return results_key.split("/")[-2]


def batch_id_of(results_key: str) -> str:
    """The batch id in a key made by results()."""
    return results_key.rpartition("/")[2].removesuffix(".parquet")


def is_results(key: str) -> bool:
    """Whether a key of the folder of results is one made by results(), and no copy that somebody has put there."""
    return key.count("/") == 2 and key.endswith(".parquet")


def index_folder(pipeline: str) -> str:
    """The folder of a pipeline's index: what its results say of which request, many batches to a file."""
    return f"index/{pipeline}/"


def index(pipeline: str, index_id: str) -> str:
    """A file of the index."""
    return f"{index_folder(pipeline)}{index_id}.parquet"


def table(pipeline: str, partition: Partition) -> str:
    """The published partition."""
    return f"tables/{pipeline}/dt={partition}/data.parquet"


def rejects(pipeline: str, partition: Partition) -> str:
    """The rows of the partition that have no usable output, with the reason."""
    return f"rejects/{pipeline}/dt={partition}/data.parquet"


def manifests_folder(pipeline: str) -> str:
    """The folder of the manifests of all partitions of a pipeline."""
    return f"manifests/{pipeline}/"


def manifest(pipeline: str, partition: Partition) -> str:
    """Counts, batches and versions of the published partition; written last."""
    return f"{manifests_folder(pipeline)}dt={partition}.json"


def is_manifest(key: str) -> bool:
    """Whether a key of the folder of manifests is one made by manifest(), and no copy that somebody has put there."""
    return re.fullmatch(r"manifests/[^/]+/dt=\d{4}-\d\d-\d\d\.json", key) is not None


def summary(pipeline: str, partition: Partition, column: str) -> str:
    """How often each value of a column was published in the partition."""
    return f"summaries/{pipeline}/dt={partition}/{column}.json"
