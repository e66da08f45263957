"""Lists over HTTP: reads Redis, keeps no state."""
