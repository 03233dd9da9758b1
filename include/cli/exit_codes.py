"""The exit statuses of the commands."""

from __future__ import annotations

#: PUBLISHED: the run did what it was started for, also a trial or a dry run. BAD_ARGUMENTS: nothing was started because
#: an argument, the pipeline or a setting is wrong. SUPERSEDED: nothing failed, but a newer run's rows stay published.
PUBLISHED, NOT_PUBLISHED, BAD_ARGUMENTS, SUPERSEDED = 0, 1, 2, 3
#: Those of `make evaluate`, beside BAD_ARGUMENTS. NOT_EVALUATED: a run failed, or the lake could not be read, so there
#: is no verdict. It differs from FAILED, so that CI can tell them apart.
PASSED, FAILED, INCONCLUSIVE, NOT_EVALUATED = 0, 1, 3, 4
#: The next step after BAD_ARGUMENTS.
NOT_STARTED = "No run was started. Fix this, then run the same command again."
