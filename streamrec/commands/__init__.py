"""One file a command: its options and its printing. Imports come late: --help is to be quick."""
