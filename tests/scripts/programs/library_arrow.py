"""pyarrow, imported and used at the top.

kind: libraries
inputs: number=[1, 2]
expect: [[4950, 3], [4950, 6]]
"""

import json
import sys

import pyarrow as pa
import pyarrow.compute

from papympi import node, run

TABLE = pa.table({"a": list(range(100)), "b": [1] * 100})
TOTAL = TABLE.group_by("b", use_threads=True).aggregate([("a", "sum")])["a_sum"][0].as_py()


@node(pool="work", stride=1)
def summed(number):
    return TOTAL, pa.compute.sum(pa.table({"a": [number] * 3})["a"]).as_py()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
