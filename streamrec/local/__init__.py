"""Everything on one machine: embedded servers, child processes."""
