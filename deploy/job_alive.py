"""
Exit status 0 if the Airflow job of this kind on this host has said that it is alive: ``job_alive.py TriggererJob``.

The same question as `airflow jobs check`, without the seconds of a whole Airflow: it is asked every half minute.
"""

from __future__ import annotations

import os
import socket
import sys

import psycopg2

#: Airflow itself takes a job for dead when it has been silent for 30 s; a busy machine gets some more.
SILENT_SECONDS = 60
QUERY = """
SELECT count(*) FROM job
WHERE job_type = %s AND hostname = %s AND state = 'running' AND latest_heartbeat > now() - %s * interval '1 second'
"""


def main() -> int:
    """Ask the metadata database, whose address is Airflow's own."""
    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    with psycopg2.connect(address, connect_timeout=5) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY, [sys.argv[1], socket.getfqdn(), SILENT_SECONDS])
        (alive,) = cursor.fetchone()
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
