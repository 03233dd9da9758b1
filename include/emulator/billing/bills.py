"""
The bills: for each ended batch a file with a line per succeeded request, its charge in US dollars, and a report.

A request is identified by a hash of its params, whatever the order of their keys, without those that only say how the
answer is delivered: sent again under another custom_id, in another batch or synchronously, it is the same request,
billed again. Errored, canceled and expired requests are not billed. A succeeded one is billed even if nobody downloads
the results. The synchronous calls of a workspace have one bill, see message_bills.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from operator import add
from typing import Any

import msgspec

from include.emulator.billing.charges import Price, Tokens, price_of

#: Stands for the id of a batch in the bill of synchronous calls.
SYNCHRONOUS = "synchronous"
#: The most repeated requests that a report lists.
MAX_LISTED = 1000

_HASH_DIGITS = 32
_DELIVERY = ("stream", "service_tier")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """
    The sum of the billed requests of one or more bills; tokens have the names of a message's usage.

    Bills in older state folders have the first four fields only: the others are None, and so is every sum with them.
    """

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None
    usd: Decimal | None = None

    def describe(self) -> dict[str, object]:
        """Return the charge for JSON, with all digits of the dollars in a string."""
        return msgspec.structs.asdict(self) | {"usd": None if self.usd is None else f"{self.usd:f}"}


@dataclass(frozen=True, kw_only=True)
class Bill:
    """The bill of one ended batch, or of a workspace's synchronous calls."""

    workspace: str
    #: That of the batch, or ``SYNCHRONOUS``.
    id: str
    charge: Charge
    #: Returns one ``bill_line`` per billed request.
    read: Callable[[], bytes]


class Repeated(msgspec.Struct, kw_only=True):
    """A request that was billed more than once, with the custom_id (the message's id if synchronous) of one billing."""

    custom_id: str
    times: int
    #: The ids of the bills with it, oldest batch first; a bill that contains it twice is listed once.
    batches: list[str]


class Meter:
    """Adds up a charge, request by request, because a price depends on the length of the prompt."""

    def __init__(self) -> None:
        # Tokens at the same price are added up and priced at the end: exact, and faster than pricing each request.
        self._sums: dict[tuple[Price, str, str], Tokens] = {}

    def count(self, message: Mapping[str, Any]) -> None:
        """Count one answer."""
        usage = message["usage"]
        written = usage["cache_creation"]
        tokens = Tokens(
            usage["input_tokens"],
            usage["output_tokens"],
            written["ephemeral_5m_input_tokens"],
            written["ephemeral_1h_input_tokens"],
            usage["cache_read_input_tokens"],
        )
        price = price_of(message["model"], sum(tokens) - tokens.output)
        at = price, usage["inference_geo"], usage["service_tier"]
        before = self._sums.get(at)
        self._sums[at] = tokens if before is None else Tokens(*map(add, before, tokens))

    def charge(self) -> Charge:
        """Return the charge of all counted answers."""
        sums = Tokens(*map(sum, zip(*self._sums.values(), strict=True))) if self._sums else Tokens(0, 0, 0, 0, 0)
        return Charge(
            input_tokens=sums.input,
            output_tokens=sums.output,
            cache_read_input_tokens=sums.read,
            cache_creation_input_tokens=sums.written_5m + sums.written_1h,
            ephemeral_5m_input_tokens=sums.written_5m,
            ephemeral_1h_input_tokens=sums.written_1h,
            usd=sum((price.usd(tokens, geo, tier) for (price, geo, tier), tokens in self._sums.items()), Decimal()),
        )


def bill_line(custom_id: str, params: bytes) -> bytes:
    """Return the line of a billed request: 32 hexadecimal digits of hash, a space, its custom_id."""
    # Processors have instructions for SHA-256, so it takes half as long as BLAKE2, which matters for 100,000 requests.
    return f"{hash_params(params)} {custom_id}\n".encode()


def hash_params(params: bytes) -> str:
    """Return what identifies a request: 32 hexadecimal digits."""
    fields = {name: value for name, value in _decode(params).items() if name not in _DELIVERY}
    return sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()[:_HASH_DIGITS]


def report(bills: Sequence[Bill]) -> dict[str, object]:
    """
    Report the sum of these bills (oldest batch first), each bill, and the requests billed more than once.

    ``synchronous`` is how many of the billed requests were calls of their own.

    Workspaces are separate customers: the same request in two of them is two requests. Takes about a second for
    300,000 billed requests, so run it in a thread.
    """
    times: dict[str, Counter[bytes]] = {}
    synchronous = 0
    shown: list[dict[str, object]] = []
    for bill in bills:
        digests = [digest for digest, _ in _billed(bill)]
        times.setdefault(bill.workspace, Counter()).update(digests)
        synchronous += len(digests) if bill.id == SYNCHRONOUS else 0
        whose = {"id": bill.id, "workspace": bill.workspace, "requests": len(digests)}
        shown.append(whose | bill.charge.describe())
    billed = sum(counter.total() for counter in times.values())
    distinct = sum(len(counter) for counter in times.values())
    repeated = _repeated(bills, times) if billed > distinct else []
    return {
        "batches": sum(bill.id != SYNCHRONOUS for bill in bills),
        "requests": billed,
        "synchronous": synchronous,
        "distinct": distinct,
        "billed_twice": billed - distinct,
        "twice": repeated[:MAX_LISTED],
        **_sum([bill.charge for bill in bills]).describe(),
        "bills": shown,
    }


def _sum(charges: Sequence[Charge]) -> Charge:
    sums: dict[str, Any] = {}
    for name in Charge.__struct_fields__:
        values = [getattr(charge, name) for charge in charges]
        sums[name] = None if None in values else sum(values, Decimal() if name == "usd" else 0)
    return Charge(**sums)


def _repeated(bills: Sequence[Bill], times: Mapping[str, Counter[bytes]]) -> list[Repeated]:
    found: dict[tuple[str, bytes], Repeated] = {}
    for bill in bills:
        of_workspace = times[bill.workspace]
        for digest, custom_id in _billed(bill):
            if of_workspace[digest] == 1:
                continue
            fresh = Repeated(custom_id=custom_id.decode(), times=of_workspace[digest], batches=[])
            repeated = found.setdefault((bill.workspace, digest), fresh)
            if bill.id not in repeated.batches[-1:]:
                repeated.batches.append(bill.id)
    return sorted(found.values(), key=lambda one: (one.custom_id, one.batches))


def _billed(bill: Bill) -> Iterator[tuple[bytes, bytes]]:
    """Yield the hash and the custom_id of each billed request."""
    for line in bill.read().splitlines():
        yield line[:_HASH_DIGITS], line[_HASH_DIGITS + 1 :]
