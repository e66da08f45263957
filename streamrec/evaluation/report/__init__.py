"""The report of one evaluation: one self-contained HTML page."""
