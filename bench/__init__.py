"""Measurements of the engine on this machine. `make bench` runs them; bench/README.md says how to read them."""
