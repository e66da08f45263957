"""Texts of items as vectors: encoders, what is stored of a vector, what readers make of many."""
