"""The demonstration on real shopping."""
