"""Polars, imported and used at the top.

kind: libraries
inputs: number=[1, 2, 3]
expect: [[6, 3], [6, 6], [6, 9]]
"""

import json
import sys

import polars as pl

from papympi import node, run

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": [1, 1, 1]})
TOTAL = FRAME.lazy().group_by("b").agg(pl.col("a").sum()).collect()["a"][0]


@node(pool="work", stride=1)
def summed(number):
    return TOTAL, int(pl.DataFrame({"a": [number] * 3, "b": [1, 1, 1]}).group_by("b").agg(pl.col("a").sum())["a"][0])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2, 3]}, pools={"work": pool}))))
