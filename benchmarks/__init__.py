"""How fast and how large streamrec is: `python -m benchmarks [names]`, or `make bench`."""
