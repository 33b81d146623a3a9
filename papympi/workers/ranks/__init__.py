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
| `HangDetector`, `PendingTask`, `Hang` | finds a rank that evaluates itself and keeps silent for too long |
"""
