"""The script changes its folder at the top.

kind: surroundings
inputs: number=[1, 2]
expect: ["data 1", "data 2"]
alone: yes
"""

import json
import os
import pathlib
import sys

from papympi import node, run

os.chdir("data")


@node(pool="work", stride=1)
def read(number):
    return f"{pathlib.Path('word.txt').read_text().strip()} {number}"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
