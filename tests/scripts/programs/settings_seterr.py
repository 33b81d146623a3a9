"""Settings: numpy.seterr.

kind: 09
inputs: number=[1, 2]
expect: ["FloatingPointError", "FloatingPointError"]
"""

import json
import sys

import numpy as np

from papympi import node, run

np.seterr(divide="raise")


@node(pool="work", stride=1)
def divided(number):
    try:
        return str(np.ones(1) * number / 0)
    except FloatingPointError as error:
        return type(error).__name__


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
