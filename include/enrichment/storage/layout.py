"""
The place of every object on the lake: one function per kind of object. No other module puts a path together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from include.enrichment.runs.partition import Partition

#: The folders of all pipelines' ledgers, results, usage records, uploads, evaluations and transcripts, and of the usage
#: reports.
LEDGER_FOLDER, RESULTS_FOLDER, USAGE_FOLDER, UPLOADS_FOLDER = "ledger/", "results/", "usage/", "uploads/"
EVALUATIONS_FOLDER, REPORTS_FOLDER, TRANSCRIPTS_FOLDER = "evaluations/", "reports/usage/", "transcripts/"


class _File:
    """The key of one file in a RunFolder or an EvaluationFolder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder | EvaluationFolder, _: type[RunFolder | EvaluationFolder]) -> str:
        return f"{folder.prefix}{self._name}"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """
    The working files of one run. Nothing outside the run reads them, so they may be deleted once the run has ended.

    :param run_id: Airflow's. In paths, ``_`` replaces unsafe characters. A hash follows where two ids could then be
        equal, which never happens to the ids that Airflow makes
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

    #: The pipeline as it was when the run began. One run never mixes two versions.
    pipeline_json = _File("pipeline.json")
    #: The id, start and end of a run of `make run`.
    foreground_json = _File("foreground.json")
    #: One line per source row: business key, request_id, and the rendered params or the reason for having none.
    rows = _File("rows.parquet")
    #: The documents that the rows attach, with the text of their pages; only if the pipeline attaches any.
    documents = _File("documents.parquet")
    #: The time of the extract and its row count; written last, so the rows exist if this file does.
    extract_json = _File("extract.json")
    #: The token counts that the API gave for some of the requests.
    counted_json = _File("counted.json")
    #: The estimate of a dry run.
    dry_run_json = _File("dry_run.json")
    #: The table of a trial.
    table = _File("table.parquet")
    #: The rejects of a trial, or of a run that had too many rejects to publish.
    rejects = _File("rejects.parquet")
    #: The rows that were not kept, of a trial or of a run that had too many rejects to publish.
    samples = _File("samples.parquet")
    #: The manifest of a trial.
    manifest = _File("manifest.json")
    #: The folder of the passes' plans.
    plans = _File("plan/")

    def plan_json(self, pass_name: str) -> str:
        """The chunks that one pass sends, and the places of the answers that exist already."""
        return f"{self.plans}{pass_name}.json"

    def question_json(self, pass_name: str) -> str:
        """The calls of tools that the question of a pass to a person shows."""
        return f"{self.plans}{pass_name}-question.json"

    def repairs(self, pass_name: str) -> str:
        """The repair requests of a retry pass, each with the request that it stands for."""
        return f"{self.plans}{pass_name}-repairs.parquet"


def folder_of_run(prefixes: Iterable[str], run_id: str) -> RunFolder | None:
    """Return the run's folder if it is among these prefixes. A prefix alone does not tell the id of its run."""
    for prefix in prefixes:
        if is_warm_up(prefix):
            continue
        _, pipeline, day, *_ = prefix.split("/")
        folder = RunFolder(pipeline=pipeline, partition=Partition(start=date.fromisoformat(day)), run_id=run_id)
        if folder.prefix == prefix:
            return folder
    return None


def is_of_run(key: str) -> bool:
    """Return whether the key is that of a run's working file."""
    return key.startswith("runs/") and key.count("/") >= 4


def run_of(key: str) -> RunFolder:
    """Return the run of a working file. Its id is the folder's name, which gives the same paths."""
    _, pipeline, day, name, *_ = key.split("/")
    return RunFolder(pipeline=pipeline, partition=Partition(start=date.fromisoformat(day)), run_id=name)


def runs_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's runs."""
    return f"runs/{pipeline}/"


def runs_of(pipeline: str, partition: Partition) -> str:
    """Return the folder of a partition's runs."""
    return f"{runs_folder(pipeline)}{partition}/"


def is_foreground(key: str) -> bool:
    """Return whether a key in a folder of runs is a RunFolder.foreground_json."""
    return key.count("/") == 4 and key.endswith("/foreground.json")


def run_folder_of(key: str) -> str:
    """Return the RunFolder.prefix of a working file."""
    return "/".join(key.split("/")[:4]) + "/"


def chunks_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's chunk files."""
    return f"chunks/{pipeline}/"


def chunk(pipeline: str, chunk_id: str) -> str:
    """
    Return the key of a chunk file.

    Its content is its identity, so it belongs to no run: any run may wait for its batch and load it. It is needed until
    the batch is loaded.
    """
    return f"{chunks_folder(pipeline)}{chunk_id}.parquet"


def chunk_id_of(chunk_key: str) -> str:
    """Return the chunk id in a key of chunk()."""
    return chunk_key.rpartition("/")[2].removesuffix(".parquet")


def pipeline_of(key: str) -> str:
    """Return the pipeline in a key of chunk() or results()."""
    return key.split("/")[-2]


def ledger_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's ledger entries and of its list of open chunks."""
    return f"{LEDGER_FOLDER}{pipeline}/"


def ledger_entry(pipeline: str, chunk_id: str) -> str:
    """Return the key of a chunk's ledger entry: its intent and its submission."""
    return f"{ledger_folder(pipeline)}{chunk_id}.json"


def parse_ledger_key(key: str) -> tuple[str, str] | None:
    """Return the pipeline and the chunk id in a key of ledger_entry(); None for other objects in that folder."""
    found = re.fullmatch(r"ledger/([^/]+)/([A-Za-z0-9_-]{22})\.json", key)
    return (found[1], found[2]) if found else None


def open_chunks(pipeline: str) -> str:
    """Return the key of the list of chunks that are planned and not loaded yet. (No chunk id is that short.)"""
    return f"{ledger_folder(pipeline)}open.json"


def uploads_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's records of uploaded files."""
    return f"{UPLOADS_FOLDER}{pipeline}/"


def upload(pipeline: str, content_id: str) -> str:
    """
    Return the key of the record of an attachment that is sent as an uploaded file.

    :param content_id: of the attachment
    """
    return f"{uploads_folder(pipeline)}{hashlib.sha256(content_id.encode()).hexdigest()}.json"


def warm_ups(pipeline: str, prefix_id: str) -> str:
    """
    Return what an open chunk that warms the prompt cache has instead of a run's folder. No object lies there.

    :param prefix_id: of the cached prefix
    """
    return f"warm-ups/{pipeline}/{prefix_id}/"


def is_warm_up(folder: str) -> bool:
    """Return whether the folder of an open chunk is one of warm_ups()."""
    return folder.startswith("warm-ups/")


def asked_id(chunk_id: str, *, simulated: bool = False) -> str:
    """
    Return the id that the answers of a synchronous chunk have in place of a batch's.

    :param simulated: the emulator answers. Its batches' ids are marked in the same way
    """
    return f"asked_simulated_{chunk_id}" if simulated else f"asked_{chunk_id}"


def is_asked(batch_id: str) -> bool:
    """Return whether the id is one of asked_id(), not a batch's."""
    return batch_id.startswith("asked_")


def asked_folder(pipeline: str, chunk_id: str = "") -> str:
    """Return the folder of the result lines of a synchronous chunk that are not loaded yet, or of all such chunks."""
    return f"asked/{pipeline}/{chunk_id}/" if chunk_id else f"asked/{pipeline}/"


def asked_chunk_of(key: str) -> str:
    """Return the chunk id in a key of asked_part()."""
    return key.split("/")[2]


def asked_part(pipeline: str, chunk_id: str, name: str) -> str:
    """Return the key of some of those lines, written together, as the API would write them to a batch's results."""
    return f"{asked_folder(pipeline, chunk_id)}{name}.jsonl.zst"


def transcripts_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's transcripts."""
    return f"{TRANSCRIPTS_FOLDER}{pipeline}/"


def transcript_folder(pipeline: str, request_id: str) -> str:
    """Return the folder of the steps of one row that an agent answers."""
    return f"{transcripts_folder(pipeline)}{request_id}/"


def transcript_step(pipeline: str, request_id: str, step: str) -> str:
    """Return the key of one step: an answer of the model, the result of a tool, or an approval."""
    return f"{transcript_folder(pipeline, request_id)}{step}.json"


def request_of_transcript(key: str) -> str:
    """Return the id of the request in a key of transcript_step()."""
    return key.split("/")[2]


def transcript_step_of(key: str) -> str:
    """Return the name of the step in a key of transcript_step()."""
    return key.rpartition("/")[2].removesuffix(".json")


def raw_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's raw results."""
    return f"raw/{pipeline}/"


def raw(pipeline: str, batch_id: str) -> str:
    """Return the key of a batch's results exactly as received, compressed. The API keeps them for only 29 days."""
    return f"{raw_folder(pipeline)}{batch_id}.jsonl.zst"


def results_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's results."""
    return f"{RESULTS_FOLDER}{pipeline}/"


def results(pipeline: str, batch_id: str) -> str:
    """Return the key of a batch's outcomes, one line per request."""
    return f"{results_folder(pipeline)}{batch_id}.parquet"


def batch_id_of(key: str) -> str:
    """Return the batch id in a key of results() or raw()."""
    return key.rpartition("/")[2].removesuffix(".parquet").removesuffix(".jsonl.zst")


def is_batch_file(key: str) -> bool:
    """Return whether a key in the folder of results or usage is one of results() or usage(), not a stray copy."""
    return key.count("/") == 2 and key.endswith(".parquet")


def usage_folder(day: date) -> str:
    """Return the folder of the usage records of the batches created on that UTC day."""
    return f"{USAGE_FOLDER}dt={day:%Y-%m-%d}/"


def usage(pipeline: str, batch_id: str, day: date) -> str:
    """
    Return the key of a batch's usage record.

    :param day: the UTC day on which the batch was created
    """
    return f"{usage_folder(day)}{pipeline}.{batch_id}.parquet"


def parse_usage_key(key: str) -> tuple[str, str]:
    """Return the pipeline and the batch id in a key of usage()."""
    pipeline, _, batch_id = key.rpartition("/")[2].removesuffix(".parquet").rpartition(".")
    return pipeline, batch_id


def report(first: date, last: date) -> str:
    """Return the key of a usage report's page. Both dates are inclusive and alone make the name."""
    return f"{REPORTS_FOLDER}{first:%Y-%m-%d}_{last:%Y-%m-%d}.html"


def report_summary(first: date, last: date) -> str:
    """Return the key of a usage report's figures."""
    return f"{REPORTS_FOLDER}{first:%Y-%m-%d}_{last:%Y-%m-%d}.parquet"


def parse_report_key(key: str) -> tuple[date, date] | None:
    """Return the first and the last day in a key of report(); None for any other key."""
    found = re.fullmatch(rf"{REPORTS_FOLDER}(\d{{4}}-\d\d-\d\d)_(\d{{4}}-\d\d-\d\d)\.html", key)
    if found is None:
        return None
    try:
        return date.fromisoformat(found[1]), date.fromisoformat(found[2])
    except ValueError:
        return None


def index_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's index, which lists the outcome of each request, many batches per file."""
    return f"index/{pipeline}/"


def index(pipeline: str, index_id: str) -> str:
    """Return the key of a file of the index."""
    return f"{index_folder(pipeline)}{index_id}.parquet"


def table(pipeline: str, partition: Partition) -> str:
    """Return the key of the published partition."""
    return f"tables/{pipeline}/dt={partition}/data.parquet"


def rejects(pipeline: str, partition: Partition) -> str:
    """Return the key of the partition's rejects, each with its reason."""
    return f"rejects/{pipeline}/dt={partition}/data.parquet"


def samples(pipeline: str, partition: Partition) -> str:
    """Return the key of the partition's rows that another candidate for the same published row was preferred to."""
    return f"samples/{pipeline}/dt={partition}/data.parquet"


def manifests_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's manifests."""
    return f"manifests/{pipeline}/"


def manifest(pipeline: str, partition: Partition) -> str:
    """Return the key of the manifest of the published partition: counts, batches and versions; written last."""
    return f"{manifests_folder(pipeline)}dt={partition}.json"


def is_manifest(key: str) -> bool:
    """Return whether a key in the folder of manifests is one of manifest(), not a stray copy."""
    return re.fullmatch(r"manifests/[^/]+/dt=\d{4}-\d\d-\d\d\.json", key) is not None


def summary(pipeline: str, partition: Partition, column: str) -> str:
    """Return the key of the counts of each published value of a column."""
    return f"summaries/{pipeline}/dt={partition}/{column}.json"


@dataclass(frozen=True, kw_only=True)
class EvaluationFolder:
    """The files of one evaluation. It exists once it has a summary, which is written last."""

    pipeline: str
    evaluation_id: str

    @property
    def prefix(self) -> str:
        """The folder, ending in a slash."""
        return f"{evaluations_folder(self.pipeline)}{self.evaluation_id}/"

    #: A row for each case, variant, sample and metric.
    scores = _File("scores.parquet")
    #: A row for each metric, variant and group.
    metrics = _File("metrics.parquet")
    junit = _File("junit.xml")
    report = _File("report.html")
    summary_json = _File("summary.json")


def evaluations_folder(pipeline: str) -> str:
    """Return the folder of a pipeline's evaluations."""
    return f"{EVALUATIONS_FOLDER}{pipeline}/"


def evaluation_of(key: str) -> EvaluationFolder:
    """Return the evaluation of one of its files."""
    _, pipeline, evaluation_id, *_ = key.split("/")
    return EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id)
