"""The index room: where items are. It knows positions and what they hold, and nothing of tasks, workers or kinds."""
