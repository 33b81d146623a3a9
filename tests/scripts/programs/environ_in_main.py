"""The script sets environment variables after the guard; a program that a node starts sees them.

kind: surroundings
inputs: number=[1, 2]
expect: ["1", "2"]
skip run: with papympi run nothing after the guard happens
"""

import json
import os
import subprocess
import sys

from papympi import node, run


@node(pool="work", stride=1)
def found(number):
    return subprocess.run(
        ["sh", "-c", f"echo $(($LAB_GAIN * {number}))"], capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    os.environ["LAB_GAIN"] = "1"
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
