"""One file a command: options and printing. Imports come late: --help is to be quick."""
