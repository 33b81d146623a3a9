"""Tables of astropy as items.

kind: 03
inputs: number=[2, 3]
expect: [2, 3]
"""

import json
import sys

from astropy.table import Table

from papympi import node, run


@node(pool="inline")
def table(number):
    return Table({"flux": list(range(number))})


@node(pool="work", stride=1)
def rows(table):
    return len(table)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [2, 3]}, pools={"work": pool}))))
