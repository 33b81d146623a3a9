"""A module imported for what it registers: an accessor of DataFrames.

kind: 11
inputs: number=[1, 5]
expect: [2.0, 6.0]
"""

import json
import sys

import geo
import pandas

from papympi import node, run


@node(pool="inline")
def frame(number):
    return pandas.DataFrame({"lon": [number, number + 2]})


@node(pool="work", stride=1)
def centre(frame):
    return float(frame.geo.centre)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 5]}, pools={"work": pool}))))
