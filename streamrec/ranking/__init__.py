"""Candidates, blend and reasons: from rows to lists. Pure code."""
