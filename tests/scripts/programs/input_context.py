"""The input is a generator that uses a context variable and the decimal context.

kind: 06
inputs: number=[1, 2]
expect: ["0.3333333", "0.6666667"]
skip run: its inputs come from the command line
"""

import contextvars
import decimal
import json
import sys

from papympi import node, run

divisor = contextvars.ContextVar("divisor")


def shares():
    for number in (1, 2):
        yield decimal.Decimal(number) / divisor.get()


@node(pool="work", stride=1)
def told(share):
    return str(share)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        with decimal.localcontext(prec=7):
            divisor.set(3)
            print(json.dumps(list(run({"share": shares()}, pools={"work": pool}))))
