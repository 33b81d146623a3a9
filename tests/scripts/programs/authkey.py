"""A connection of multiprocessing with the script's own key.

kind: 16
inputs: number=[1, 2]
expect: [true, true]
"""

import json
import multiprocessing
import sys

from papympi import node, run

multiprocessing.current_process().authkey = b"secret of the lab"


@node(pool="work", stride=1)
def known(number):
    return bytes(multiprocessing.current_process().authkey) == b"secret of the lab"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
