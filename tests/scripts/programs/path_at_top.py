"""The script adds a folder to sys.path and imports from it, also in a node.

kind: surroundings
inputs: number=[1, 2]
expect: [12, 13]
"""

import json
import pathlib
import sys

from papympi import node, run

sys.path.insert(0, str(pathlib.Path("more").resolve()))
import elsewhere


@node(pool="work", stride=1)
def moved(number):
    import elsewhere_too

    return number + elsewhere.one() + elsewhere_too.ten()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
