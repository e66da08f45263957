"""Sending a file's events to Kafka, no faster than they are learnt."""
