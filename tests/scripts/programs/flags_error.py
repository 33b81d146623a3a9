"""Flags of the interpreter: -W error.

kind: 12
inputs: number=[1, 2]
expect: ["UserWarning", "UserWarning"]
python: -W error
skip notebook: a kernel has its own flags
"""

import json
import sys
import warnings

from papympi import node, run


@node(pool="work", stride=1)
def heard(number):
    try:
        warnings.warn("heard", stacklevel=1)
    except UserWarning as error:
        return type(error).__name__
    return "nothing"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
