"""acestep-tui: fine-tune ACE-Step v1 on your own songs, from a terminal."""

__version__ = "0.1.0"
