"""The additions to Airflow's UI besides the form: run notes and the usage report."""
