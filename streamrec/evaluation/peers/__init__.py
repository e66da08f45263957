"""Other recommenders in the same run, and what compares them with ours."""
