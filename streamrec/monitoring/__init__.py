"""Metrics, the health port, log lines."""
