"""The built-in pools; none knows another, or the engine."""
