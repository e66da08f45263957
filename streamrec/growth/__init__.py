"""From a few partitions to more: which row goes where, and whether all arrived."""
