"""pandas, imported and used at the top.

kind: libraries
inputs: number=[1, 2]
expect: [[3, 3], [3, 6]]
"""

import json
import sys

import pandas as pd

from papympi import node, run

FRAME = pd.DataFrame({"a": [1, 1, 1], "b": [1, 1, 2]})
TOTAL = int(FRAME.groupby("b")["a"].sum().sum())


@node(pool="work", stride=1)
def summed(number):
    return TOTAL, int((FRAME["a"] * number).sum())


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
