"""What Redis and Kafka hold now, read for operators; nothing here writes."""
