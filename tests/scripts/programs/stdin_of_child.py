"""A program that a node starts reads its standard input.

kind: multiprocessing
inputs: number=[1, 2]
expect: ["", ""]
"""

import json
import subprocess
import sys

from papympi import node, run


@node(pool="work", stride=1)
def read(number):
    return subprocess.run(["cat"], capture_output=True, text=True, timeout=20).stdout


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
