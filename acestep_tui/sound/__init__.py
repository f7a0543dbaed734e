"""Test clips as sound: what they look like, and playing them."""
