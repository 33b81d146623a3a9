"""What an MPI rank does. It knows MPI, and children if the rank isolates; it does not know which pool asks.

Rank 0 sends orders and gets answers, a small class for each kind (`messages`). Where the user's process is no rank,
`local_job` starts ranks and talks to the first of them through a socket, which forwards (`relay`).

| class | what it is |
| --- | --- |
| `World` | the ranks of one job as one of them sees them |
| `Wire` | the messages of one rank on their way |
| `RankWorker` | one rank at work, for one pool after the other: evaluates itself, or has children that do |
| `RankAllocator` | which pool has which ranks, and whose the answers are that come in |
| `LocalJob`, `Relay` | ranks that this process has started; the first of them, which forwards |
| `OutputPipe` | what they print |
| `OpenProgram`, `Isolation` | orders: be ready for a program; with children of its own |
| `BeginNothing`, `ClosePool`, `LeaveWorld` | orders: begin nothing more; forget the program; end |
| `EvaluateTask`, `ForwardTask`, `ServeExecutor` | orders: do a task; hand it to a child; serve mpi4py's executor |
| `ProgramOpened`, `ProgramMissing`, `OpeningFailed` | answers to `OpenProgram` |
| `TaskEvaluated`, `OutcomeForwarded`, `LogsForwarded` | answers: an outcome; a sealed one of a child; what it printed |
| `ChildLost`, `ChildrenFailed` | answers: a child has died and been replaced; there are none to be had any more |
| `PoolClosed`, `RankLeft`, `RanksStarted` | answers to `ClosePool` and `LeaveWorld`; where local ranks are |
| `HangDetector`, `PendingTask`, `Hang` | finds a rank that evaluates itself and keeps silent for too long |
"""
