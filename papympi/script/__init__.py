"""The user's script as workers get it: described in the runner, prepared in a worker or in a template of workers.

| class | what it is |
| --- | --- |
| `GuardedScript` | a script taken apart: what a worker loads, and what stands under its guard |
| `SourceFinder` | where the imports of a worker look first |
"""
