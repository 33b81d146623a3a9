"""The consumer takes its time: settings of decimal.

kind: 08
inputs: number=1..300
expect: [52]
skip run: there is no consumer but papympi
"""

import decimal
import json
import sys
import time

from papympi import node, run

decimal.getcontext().prec = 50


@node(pool="work", stride=1)
def digits(number):
    return len(str(decimal.Decimal(1) / (3 * number)))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = set()
        for number, count in enumerate(run({"number": [1] * 300}, pools={"work": pool}, admission=4)):
            seen.add(count)
            if number % 60 == 0:
                time.sleep(0.03)
        print(json.dumps(sorted(seen)))
