"""What Airflow's UI shows beyond the form: run notes and the usage report."""
