"""The benchmark against the peers: `make bench`."""
