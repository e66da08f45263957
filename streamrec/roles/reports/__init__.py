"""What roles tell as metrics."""
