"""Open gateways from Airflow connections."""
