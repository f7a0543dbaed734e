"""The training engine: everything below the run folder. Never imports `acestep_tui`."""

__version__ = "0.1.0"
