"""Whether the lake's store honors conditional writes, which keep two runs from paying for the same rows."""

from __future__ import annotations

from collections.abc import Callable

from obstore import exceptions

from include.enrichment.errors import LakeError, SetupError
from include.gateways.lake import Conflict, Lake

#: The object for the probe. (No pipeline can have this name: it has no folder.)
_KEY, _DATA = "ledger/_probe", b"An object for probing conditional writes. It may be deleted."
#: A well-formed tag that no object has.
_WRONG_TAG = f'"{"0" * 32}"'
#: What S3-compatible stores say of a condition that they do not know.
_NOT_IMPLEMENTED = ("NotImplemented", "501 Not Implemented", "not implemented")


def check_conditional_writes(lake: Lake) -> None:
    """
    Raise SetupError unless the store rejects a conditional write whose condition fails.

    A store that does not know the conditions may overwrite silently. Makes three calls, on an object that stays and
    whose content never changes, so that concurrent or killed checks do no harm.
    """
    if lake.runs_never_race:
        return
    try:
        _succeeds(lambda: lake.create(_KEY, _DATA))
        if _succeeds(lambda: lake.create(_KEY, _DATA)):
            raise _not_supported(lake, "its store accepted a second create of the same object")
        if _succeeds(lambda: lake.replace(_KEY, _DATA, etag=_WRONG_TAG)):
            raise _not_supported(lake, "its store accepted a replace with a wrong ETag")
    except LakeError as error:
        cause = error.__cause__
        if isinstance(cause, exceptions.NotSupportedError) or any(word in str(cause) for word in _NOT_IMPLEMENTED):
            raise _not_supported(lake, str(error)) from error
        raise


def _succeeds(write: Callable[[], str]) -> bool:
    try:
        write()
    except Conflict:
        return False
    return True


def _not_supported(lake: Lake, fact: str) -> SetupError:
    return SetupError(
        f"The lake {lake.uri} does not support conditional writes: {fact}. Two simultaneous runs could both pay for the"
        " same rows. Nothing was sent. Use a store that supports them (AWS S3, MinIO, Cloudflare R2, …), or, if runs of"
        " this deployment never overlap, set ENRICHMENT_RUNS_NEVER_RACE=true."
    )
