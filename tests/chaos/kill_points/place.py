"""The place of the runs: where their lake, API and warehouse are, and how long they wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import anthropic
import httpx2

from include.enrichment.batches import submission
from include.enrichment.documents import upload
from include.enrichment.synchronous import lease
from include.gateways import claude as claude_gateway
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from include.steps.publishing import file_deletion
from include.steps.submitting import uploads

CREATES_PATH = "/v1/messages/batches"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """
    The waits of production, in seconds instead of minutes.

    :param create_window: longer than any live create may take
    :param client_timeout: how long a create waits for its answer
    :param lease: how long the asker of a chunk may ask without renewing its lease
    :param lease_of_the_dead: how long others wait for it. As short as here, no two processes may ask at a time
    """

    create_window: float = 1.0
    listing_lag: float = 0.5
    soon: float = 0.05
    late: float = 0.2
    client_timeout: float = 30.0
    lease: float = 60.0
    lease_of_the_dead: float = 0.0

    def apply(self) -> None:
        """Replace production's waits in this process."""
        submission.CREATE_WINDOW = timedelta(seconds=self.create_window)
        submission.LISTING_LAG = timedelta(seconds=self.listing_lag)
        submission.SOON = timedelta(seconds=self.soon)
        submission.LATE = timedelta(seconds=self.late)
        claude_gateway._CREATE_TIMEOUT = httpx2.Timeout(self.client_timeout)
        upload.UPLOAD_WINDOW = timedelta(seconds=self.create_window)
        # One write after the other, so that each has its number.
        uploads._AT_ONCE = file_deletion._AT_ONCE = 1
        lease.LEASE = timedelta(seconds=self.lease)
        lease.CLOCK_SKEW = timedelta(seconds=self.lease_of_the_dead) - lease.LEASE


@dataclass(frozen=True, kw_only=True)
class Place:
    """
    The place of the runs: all that a process needs to open the lake, the API and the warehouse.

    :param folder: holds the pipeline, the database, the logs of writes and the local files of the processes
    :param lake: a folder or ``s3://bucket``
    :param s3: the endpoint of the bucket
    """

    folder: Path
    lake: str
    s3: str | None
    api_url: str
    api_key: str
    timing: Timing = field(default_factory=Timing)

    @property
    def pipeline(self) -> Path:
        """The pipeline's folder."""
        return self.folder / "tickets"

    @property
    def database(self) -> Path:
        """The warehouse."""
        return self.folder / "warehouse.db"

    @property
    def documents(self) -> Path:
        """The documents of the tickets, if they have any."""
        return self.folder / "documents"

    def writes(self, run_id: str) -> Path:
        """The log of one run's writes: one line per write, in order."""
        return self.folder / f"writes-{run_id}.log"

    def deaths(self, run_id: str) -> Path:
        """The writes at which processes of a run have died, if each of them is to be struck once."""
        return self.folder / f"deaths-{run_id}.log"

    def late_create(self, run_id: str) -> Path:
        """The body of a create whose process died before the request arrived."""
        return self.folder / f"late-{run_id}.json"

    def open_lake(self) -> Lake:
        """Open the lake, as plugins/claude_batch/connections/gateways.py does."""
        if self.s3 is None:
            return Lake.in_folder(Path(self.lake))
        return Lake.on_s3(
            self.lake,
            credentials=lambda: {
                "access_key_id": "testing",
                "secret_access_key": "testing",
                "expires_at": None,
            },
            region=None,
            endpoint=self.s3,
        )

    def open_claude(self, transport: httpx2.HTTPTransport | None = None) -> Claude:
        """Open the API; a wrapped transport sees every call."""
        http_client = anthropic.DefaultHttpxClient(transport=transport, verify=False, trust_env=False)
        client = anthropic.Anthropic(
            api_key=self.api_key, base_url=self.api_url, max_retries=0, http_client=http_client
        )
        return Claude(client, name="anthropic_default")

    def open_messages(self, transport: httpx2.AsyncHTTPTransport) -> Messages:
        """Open the API for synchronous calls, as open_messages() of the plugins does."""
        http_client = anthropic.DefaultAsyncHttpxClient(transport=transport, verify=False, trust_env=False)
        client = anthropic.AsyncAnthropic(api_key=self.api_key, base_url=self.api_url, http_client=http_client)
        return Messages(limited_client(client), name="anthropic_default")


#: For runs at the same time: a process slower than this would count as dead, as in production after 25 minutes.
RACING = Timing(create_window=6.0, listing_lag=1.0, lease=5.0, lease_of_the_dead=6.0)
#: The events after the death of a process must end within this, even on a busy machine.
UNHURRIED = Timing(create_window=3.0)
