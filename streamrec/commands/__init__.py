"""One file a command: its options, its printing."""
