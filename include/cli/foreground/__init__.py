"""Run one Dag run inside this process, for `make run`."""
