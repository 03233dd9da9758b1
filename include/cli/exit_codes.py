"""The exit statuses of the commands."""

from __future__ import annotations

#: Exit statuses. What was asked for and is done is 0, also a trial and a dry run. BAD_ARGUMENTS: nothing was started,
#: as an argument, the pipeline or a setting is wrong. SUPERSEDED: nothing failed, and a newer run's rows stay
#: published.
PUBLISHED, NOT_PUBLISHED, BAD_ARGUMENTS, SUPERSEDED = 0, 1, 2, 3
#: What to do when nothing was started.
NOT_STARTED = "No run was started. Fix this, then run the same command again."
