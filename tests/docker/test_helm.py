"""The text of the values for Airflow's Helm chart; no test installs the chart."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from include.stack.folder import ROOT

CELERY = ROOT / "deploy/helm-values.yaml"
KUBERNETES = ROOT / "deploy/helm-values-kubernetes.yaml"
VALUES: dict[str, Any] = yaml.safe_load(CELERY.read_text(encoding="utf-8"))
DOCUMENTATION = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")


def _secret_names(values: object) -> set[str]:
    if isinstance(values, dict):
        own = {str(value) for name, value in values.items() if re.search("[sS]ecretName$", name)}
        return own.union(*map(_secret_names, values.values()))
    return set().union(*map(_secret_names, values)) if isinstance(values, list) else set()


def test_the_documentation_creates_every_secret_that_the_values_name() -> None:
    made = set(re.findall(r"^new ([\w-]+) ", DOCUMENTATION, re.MULTILINE))
    assert _secret_names(VALUES) == made
    assert not re.search(r"pass\w*:|fernetKey:|jwtSecret:|SecretKey:", CELERY.read_text())


def test_the_pods_get_the_same_variables_as_the_containers_of_compose() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    expected = set(re.findall(r"^    ((?:AIRFLOW_CONN|ENRICHMENT)_\w+):", compose, re.MULTILINE))
    given = {entry["name"] for entry in VALUES["env"]} | {entry["envName"] for entry in VALUES["secret"]}
    assert given == expected
    assert all(json.loads(entry["value"]) for entry in VALUES["env"] if entry["name"].startswith("AIRFLOW_CONN_"))


def test_the_airflow_version_is_that_of_the_lock() -> None:
    lock = (ROOT / "requirements-image.lock").read_text(encoding="utf-8")
    assert f"\napache-airflow=={VALUES['airflowVersion']} " in lock


def test_the_chart_does_not_replace_the_settings_of_the_image() -> None:
    assert VALUES["airflowLocalSettings"] is None
    assert (ROOT / "config/airflow_local_settings.py").is_file()


def test_the_chart_creates_no_user_with_its_own_password() -> None:
    assert VALUES["webserver"]["defaultUser"] == {"enabled": False}


def test_the_second_file_changes_the_executor_and_the_size_of_a_task() -> None:
    on_top = yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))
    assert (VALUES["executor"], on_top["executor"]) == ("CeleryExecutor", "KubernetesExecutor")
    assert on_top["workers"].keys() == {"resources"}
