"""Kafka and Redis: all input and output."""
