"""The two folds, their rows and the message between them. Pure code."""
