"""Settings that the script makes after its guard: precision, recursion limit.

kind: 09
inputs: number=[3, 7]
expect: ["0.33333 9999", "0.14286 9999"]
skip run: with papympi run nothing after the guard happens
"""

import decimal
import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def share(number):
    return f"{decimal.Decimal(1) / number} {sys.getrecursionlimit()}"


if __name__ == "__main__":
    decimal.getcontext().prec = 5
    sys.setrecursionlimit(9999)
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [3, 7]}, pools={"work": pool}))))
