"""Who watches a run: progress and reports."""
