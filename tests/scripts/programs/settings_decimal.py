"""Settings: precision and rounding of decimal.

kind: 09
inputs: number=[3, 7]
expect: ["0.333333333333333333333333333333333333333334", "0.142857142857142857142857142857142857142858"]
"""

import decimal
import json
import sys

from papympi import node, run

decimal.getcontext().prec = 42
decimal.getcontext().rounding = decimal.ROUND_UP


@node(pool="work", stride=1)
def share(number):
    return str(decimal.Decimal(1) / number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [3, 7]}, pools={"work": pool}))))
