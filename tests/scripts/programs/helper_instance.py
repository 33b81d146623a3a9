"""An object of a helper's class in the script's globals, and as items.

kind: helper modules
inputs: number=[1, 2]
expect: [[6, true], [12, true]]
"""

import json
import sys

import params

from papympi import node, run

chosen = params.Settings()
chosen.rate = 6


@node(pool="work", stride=1)
def applied(number):
    return chosen, chosen.apply(number)


@node(pool="work", stride=1)
def checked(applied):
    return applied[1], type(applied[0]) is params.Settings


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
