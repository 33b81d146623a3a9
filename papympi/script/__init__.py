"""The user's script as workers get it: described in the runner, prepared in a worker or in a template of workers.

| class | what it is |
| --- | --- |
| `GuardedScript` | a script taken apart: what a worker loads, and what stands under its guard |
| `SourceFinder` | where the imports of a worker look first |
| `Setting` | something of a process, thread or context that programs set and papympi takes along |
| `CallerContext` | what threads of the runner's process take over of the thread that has opened their pool |
| `Use` | an object that a user's function uses, and what it is called there |
"""
