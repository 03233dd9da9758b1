# Airflow with this project: the lock installed, the code in its place, nothing secret. One image for every component.
ARG BASE=apache/airflow:3.3.2-python3.12
FROM ${BASE}

# The lock and nothing else: a provider that the base brings in another version, or that no test has seen, goes.
COPY --chown=airflow:0 requirements-image.lock /opt/airflow/
RUN uv pip sync --no-cache --compile-bytecode --require-hashes /opt/airflow/requirements-image.lock

COPY --chown=airflow:0 config/ /opt/airflow/config/
COPY --chown=airflow:0 plugins/ /opt/airflow/plugins/
COPY --chown=airflow:0 include/ /opt/airflow/include/
COPY --chown=airflow:0 dags/ /opt/airflow/dags/
COPY --chown=airflow:0 deploy/job_alive.py /opt/airflow/deploy/

# The project's root for `include`, plugins/ for `claude_batch`, as on every other machine.
ENV PYTHONPATH=/opt/airflow:/opt/airflow/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

# Named once more, so that nobody has to look into the base: never root, and group 0 as OpenShift wants it.
USER 50000:0
