"""acestep-tui: fine-tune ACE-Step v1 on your own songs, from a terminal."""

from engine import __version__

__all__ = ["__version__"]
