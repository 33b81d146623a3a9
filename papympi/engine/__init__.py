"""Runs a plan on pools: items stream through it in batches, in order, in bounded memory.

`loop.py` has the drawing. `index/` says where items are, `operators/` what each kind of step does; the files beside
them know a step only by the operators' protocol.

| class | what it is |
| --- | --- |
| `Engine`, `EngineDriver` | the loop that owns a run; who turns it: the consumer, or a thread while that is away |
| `Router`, `Taker` | takes chunks along the edges of the graph; whoever takes them |
| `Join` | where the inputs of one step meet |
| `Span`, `Batch`, `ReadyQueue` | positions that are ready; those that travel together; all of one step, in order |
| `Scheduler`, `Agenda`, `Waiter` | which worker does what next; of how many steps; how the loop waits for them |
| `Admission`, `Accounts`, `Limits`, `Producer` | who may emit items; how many are live, and may be; who emits them |
| `BatchSizes`, `ItemSizes` | what is learnt of how many items make a batch, and how many bytes an item has |
| `InputOrder`, `ArrivalOrder`, `Delivery` | in what order results are handed over; some of them, together |
| `EndOfTurn` | between two items of one source, where several take turns |
| `Ending` | what is left to do when nothing is under way; how a run stops before its end |
| `RetryQueue`, `Retrier` | what is tried again, by time; whose it is |
| `Tally`, `Stopwatch` | the counts of the nodes; how long the run takes |
| `FailFast` | raises a failure as soon as the next result can only be that |
| `GivingUp` | ends a run that is of no use: too much of it fails, or no worker can make a resource |
| `Recorder`, `Replay`, `Pruning` | keeps results for a later attempt; uses them there; what need not be computed |
| `ReplayedPayload`, `KeptPayload`, `SparedPayload` | what an earlier attempt has made: kept values, or a stand-in |
"""
