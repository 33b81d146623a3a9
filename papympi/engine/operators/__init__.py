"""The operators: each class is the whole life of one kind of step.

| class | what it is |
| --- | --- |
| `Operator`, `TaskOperator`, `CallOperator` | any step; one whose work a pool does; one that is called for items |
| `SourceOperator`, `Feed`, `Rows`, `ReaderThread` | makes rows; the iterables behind it; what was read; reads ahead |
| `MapOperator` | turns an item into results |
| `ScatterOperator`, `Generator`, `GeneratorState` | makes many items of one; what it advances; how far that is |
| `GatherOperator` | makes a list of all children of an item |
| `GroupOperator`, `Grouping` | makes lists of n siblings; how far they are cut |
| `FoldOperator`, `Folding` | folds all children of an item into one value; how far it is with a segment |
| `InFlightTask`, `MapTask`, `ScatterTask`, `FoldTask` | a task on its way or at work, and what is needed to repeat it |
| `Candidate`, `Suspended` | what a worker could do now; what stands on one worker between its tasks |
| `PoolState`, `WorkerState` | a pool and a worker as the engine sees them |
| `RunContext` | the parts of the engine that operators use |
"""
