"""The consumer takes its time, and NumPy is to raise.

kind: 08
inputs: number=1..300
expect: ["FloatingPointError"]
skip run: there is no consumer but papympi
"""

import json
import sys
import time

import numpy as np

from papympi import node, run

np.seterr(divide="raise")


@node(pool="work", stride=1)
def divided(number):
    try:
        return str(np.ones(1) / (number - number))
    except FloatingPointError as error:
        return type(error).__name__


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = set()
        for number, found in enumerate(run({"number": range(300)}, pools={"work": pool}, admission=4)):
            seen.add(found)
            if number % 60 == 0:
                time.sleep(0.03)
        print(json.dumps(sorted(seen)))
