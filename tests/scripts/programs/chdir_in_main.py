"""The script changes its folder after the guard.

kind: surroundings
inputs: number=[1, 2]
expect: ["data 1", "data 2"]
alone: yes
skip run: with papympi run nothing after the guard happens
"""

import json
import os
import pathlib
import sys

from papympi import node, run


@node(pool="work", stride=1)
def read(number):
    return f"{pathlib.Path('word.txt').read_text().strip()} {number}"


if __name__ == "__main__":
    os.chdir("data")
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
