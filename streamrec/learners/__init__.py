"""Learners: what is updated per event. Pure code, no imports of ours."""
