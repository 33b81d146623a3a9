"""A package of the lab, which imports nothing of its own."""
