"""What a worker needs of the user's script: its settings, and what its functions use.

Glossary:
    Setting: something of a process, thread or context that programs set and papympi takes along.
    CallerContext: what threads of the runner's process take over of the thread that has opened their pool.
    Use: an object that a user's function uses, and what it is called there.
"""
