"""Puts a run together: plugins, options, pools, engine."""
