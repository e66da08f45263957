"""How good lists are: ranking metrics on a stream. Pure code."""
