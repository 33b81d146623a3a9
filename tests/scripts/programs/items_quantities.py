"""Quantities of astropy as items.

kind: 03
inputs: number=[1, 5]
expect: ["2.0 km", "10.0 km"]
"""

import json
import sys

import astropy.units as u

from papympi import node, run


@node(pool="inline")
def length(number):
    return number * u.km


@node(pool="work", stride=1)
def doubled(length):
    return length * 2


@node(pool="inline")
def told(doubled):
    return str(doubled)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 5]}, pools={"work": pool}))))
