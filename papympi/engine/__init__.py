"""The loop that owns a run: admission, batching, joining, ordering."""
