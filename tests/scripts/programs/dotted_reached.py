"""A submodule by its dots, in a method of a class of the script.

kind: 02
inputs: number=[1, 2]
expect: [5.0, 10.0]
"""

import json
import sys

import scipy.spatial.distance

from papympi import node, run


class Measure:
    def between(self, a, b):
        return float(scipy.spatial.distance.euclidean(a, b))


@node(pool="work", stride=1)
def apart(number):
    return Measure().between([0, 0], [3 * number, 4 * number])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
