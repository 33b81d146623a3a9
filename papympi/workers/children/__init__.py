"""Guards child processes: a crash costs one item. It knows sockets, processes and shared memory; no MPI.

A fork server, small and single-threaded, has imported what children need and forks them in a few milliseconds. Each
child evaluates tasks from a socket of its own and says in a shared record what it is at, so that its death names a
culprit.

| class | what it is |
| --- | --- |
| `ForkServer`, `ForkServerClient` | the process that forks and reaps children; its parent's end |
| `ServerProcess` | what it has in common with any process that has children |
| `LoadReport` | how a template has loaded the script: a fork of the server, which stands in for it |
| `TemplateDoor`, `Visitor` | where other ranks of a host get copies of a template; who asks for one |
| `StallWatch` | finds children that wait for a thread which was not forked with them |
| `ChildDescriptors` | what a child gets from its fork server |
| `ChildHandle` | one child as its parent sees it, from its first task to the report of its death |
| `ChildTerms`, `Passport` | what the children of a pool have in common; what one is told of itself |
| `TrackerRelay` | what they tell the resource tracker of `multiprocessing`, on its way to their parent's |
| `OutputReader`, `OutputMarker` | the two ends of a child's standard output and error |
| `Workload` | the tasks that one child has at hand |
| `Renewal`, `Growth` | when a child is replaced though nothing is wrong; how big it is |
| `Endurance`, `Resignation` | what a child does, and says, that has no memory left |
| `Departures` | children that are leaving, in whose place there are others |
| `Supervisor` | several children: tasks to them, outcomes from them, a fresh one for each that dies |
"""
