"""A helper beside the script, imported in the node.

kind: helper modules
inputs: number=[1, 2]
expect: [10, 20]
"""

import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def scaled(number):
    import params

    return params.scale(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
