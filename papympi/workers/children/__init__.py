"""Guards child processes: a crash costs one item. It knows sockets, processes and shared memory; no MPI.

A fork server, small and single-threaded, has imported what children need and forks them in a few milliseconds. Each
child evaluates tasks from a socket of its own and says in a shared record what it is at, so that its death names a
culprit.

| class | what it is |
| --- | --- |
| `ForkServer`, `ForkServerClient` | the process that forks and reaps children; its parent's end |
| `ChildDescriptors` | what a child gets from its fork server |
| `ChildHandle` | one child as its parent sees it, from its first task to the report of its death |
| `Supervisor` | several children: tasks to them, outcomes from them, a fresh one for each that dies |
"""
