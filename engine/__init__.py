"""The training engine: everything below the run folder. Never imports `acestep_tui`."""
