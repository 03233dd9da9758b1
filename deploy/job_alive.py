"""
Health check: exit with status 0 if an Airflow job of this type is alive on this host: ``job_alive.py TriggererJob``.

It checks the same as `airflow jobs check`, but runs every half minute and therefore does not import Airflow.
"""

from __future__ import annotations

import os
import socket
import sys

import psycopg2

#: Airflow considers a job dead after 30 s without a heartbeat. A busy machine needs more.
SILENT_SECONDS = 60
QUERY = """
SELECT count(*) FROM job
WHERE job_type = %s AND hostname = %s AND state = 'running' AND latest_heartbeat > now() - %s * interval '1 second'
"""


def main() -> int:
    """Query the metadata database that Airflow is configured with, and return the exit status."""
    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    with psycopg2.connect(address, connect_timeout=5) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY, [sys.argv[1], socket.getfqdn(), SILENT_SECONDS])
        (alive,) = cursor.fetchone()
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
