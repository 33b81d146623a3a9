"""What outlives a run: the run directory, its lock, the journal of finished results, fingerprints."""
