export AIRFLOW_CONN_ANTHROPIC_DEFAULT='{"conn_type":"anthropic","password":"sk-ant-simulated-1","host":""}'
