"""The contract of an event and of an item's metadata: decoding that never raises."""
