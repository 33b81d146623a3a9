"""The far end: evaluate a batch; a guarded child; a rank."""
