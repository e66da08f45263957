"""Lists and events over HTTP: reads Redis, writes Kafka, keeps no state."""
