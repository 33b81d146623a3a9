"""Puts a run together: plugins, options, pools, engine.

`run` makes a plan of the graph; `plugins`, `options` and `pooling` say with what; a `Session` holds the pools and the
engine from the first item to the end; a `RunJournal`, if there is one, keeps what is finished.
"""
