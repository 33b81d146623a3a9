"""Calls functions: a task goes in, an outcome comes out. It knows no socket, no process, no MPI.

An `Evaluator` belongs to one worker, which may be a thread, a child, a rank or the runner itself. Whatever a function
raises becomes a failure of its item. Most tasks take the fast path; the others go call by call, and within a call item
by item.

| class | what it is |
| --- | --- |
| `Evaluator`, `AwaitingEvaluator` | evaluates one task at a time; many at a time, in an event loop |
| `WorkerContext`, `Resources` | what all tasks of one worker share; what nodes need that is made once in a worker |
| `WorkerSetups` | what is called once in a process before the first item |
| `Calls` | the calls of one task: their arguments, failures and counts |
| `Column`, `Arguments` | values by position, with bitmaps of what is there and failed; the columns that a call takes |
| `FastPath`, `FastPathResult`, `Stop` | functions over whole columns; how far a task got; where a call stopped |
| `Fold`, `SuspendedScatter` | an accumulator on its way through items; generators between two tasks |
| `EvaluatorFunctions` | what an evaluator lends to children that do not leave a task |
| `AsyncCall`, `CallGroup`, `CallPlace` | one async call; those of one batch; which items a call is for |
| `AsyncLimit`, `AsyncSteps` | how many calls may wait at once; the steps of a fold or scatter, awaited |
| `CallLoop`, `AsyncSource` | an event loop for one call at a time; an async source as a plain one |
| `ProgressRecord`, `SharedProgressRecord` | integers that say what a worker is at; the same in shared memory |
| `ProgressSnapshot` | what a progress record said when it was read |
| `Location`, `TaskLocation`, `FixedLocation` | which item of which node is at work: seeds, prints and logs ask for it |
| `OutputCapture`, `OutputRecorder` | sees what functions print and log; takes it down |
| `TimeoutAlarm`, `Overdue`, `Abandoned` | ends an item at its time-out; is raised there; is raised in a lost thread |
| `Standstill` | for how long this process was stopped, so that nobody was late |
| `hold` | keeps the alarm from what must not be interrupted |
| `StartedPrograms` | the programs that functions start: they end with their item or with the run |
| `ThreadEvaluators` | an evaluator for each thread that looks |
"""
