"""streamrec: a streaming recommender that learns from every click while it runs."""

__version__ = "0.1.0"
