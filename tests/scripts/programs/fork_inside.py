"""A node forks.

kind: multiprocessing
inputs: number=[1, 2]
expect: [1, 2]
"""

import json
import os
import sys

from papympi import node, run


@node(pool="work", stride=1)
def forked(number):
    child = os.fork()
    if child == 0:
        os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
