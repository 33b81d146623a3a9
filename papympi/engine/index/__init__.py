"""The index room: where items are. It knows positions and what they hold, and nothing of tasks, workers or kinds.

An item is a position of a segment. Its key is made of the numbers of its ancestors among their siblings, and is
spelt out only for who asks.

| class | what it is |
| --- | --- |
| `Chunk`, `Interval` | consecutive positions with their values, a tuple; the same without values |
| `SharedValue`, `GatheredLists` | a value that descendants share; lists made of chunks, opened on a worker only |
| `IntervalMap`, `IntervalSet` | chunks by their intervals; positions as merged intervals |
| `Releases`, `ReleasedSets`, `ReleaseCounts` | who has released what: each of a few holders; how many of many |
| `Segment` | the children that one task made of one run of consecutive parents |
| `ClosingProgress`, `Watcher` | how far a step that closes siblings is with a segment; such a step |
| `Layout`, `SpaceTable`, `StreamTable` | what does not change in a run, of the plan, its spaces and its streams |
"""
