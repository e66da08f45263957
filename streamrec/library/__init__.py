"""The library: `evaluate` and `Recommender` in one process, without Kafka and Redis."""
