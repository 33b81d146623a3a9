"""Calls functions: a task goes in, an outcome comes out. It knows no socket, no process, no MPI.

An `Evaluator` belongs to one worker, which may be a thread, a child, a rank or the runner itself. Whatever a function
raises becomes a failure of its item. Most tasks take the fast path; the others go call by call, and within a call item
by item.

| class | what it is |
| --- | --- |
| `Evaluator`, `AwaitingEvaluator` | evaluates one task at a time; many at a time, in an event loop |
| `WorkerContext` | what all tasks of one worker share: its label, its progress record, its resources |
| `Calls` | the calls of one task: their arguments, failures and counts |
| `Column`, `Arguments` | values by position, with bitmaps of what is there and failed; the columns that a call takes |
| `FastPath` | the functions of a stage that are called over whole columns, with nothing looked at between |
| `Fold`, `SuspendedScatter` | an accumulator on its way through items; generators between two tasks |
| `Steps` | work that says what has to be called, so that it may be called at once or awaited |
| `AsyncCall`, `CallGroup`, `CallLoop` | one async call; those of one batch; a loop for one call at a time |
| `ProgressRecord`, `ProgressSnapshot` | a few integers in which a worker says what it is at; what they said when read |
| `Location` | which item of which node is at work: `seed()`, prints and log messages ask for it |
| `OutputRecorder`, `OutputCapture` | takes down what functions print and log; puts itself in the place of the streams |
| `TimeoutAlarm`, `Overdue` | interrupts an item at its time-out; what is raised in it then |
| `ThreadEvaluators` | an evaluator for each thread that looks |
"""
