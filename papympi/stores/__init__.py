"""What outlives a run: the run directory, its lock, the journal of finished results, fingerprints of code.

The `Journal` is written during a run; an `Archive` is what it knew when the run began. `comparing` and `fingerprint`
say whether it may be used, `retrying` forgets what is to be tried again, `repair` saves what is left of a damaged one.
"""
