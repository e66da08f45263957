"""Kafka: the log, behind one port with two clients."""
