"""Readers of event and item files."""
