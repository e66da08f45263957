"""Redis: the state, committed whole, and the public lists."""
