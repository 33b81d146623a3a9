"""What crosses the wire: tasks, outcomes, payloads, frames, programs."""
