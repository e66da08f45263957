"""The two folds, their rows, the message between them, the item table. Pure code."""
