"""Nodes and graphs: what the user declares."""
