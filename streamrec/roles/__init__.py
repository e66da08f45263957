"""Roles: one loop each."""
