"""What proposes candidates: one file a source."""
