"""An open file as a global that a node reads.

kind: 05
inputs: number=[1, 2]
expect: ["data", "data"]
refused *: words|TextIOWrapper
"""

import json
import sys

from papympi import node, run

words = open("data/word.txt")


@node(pool="work", stride=1)
def word(number):
    words.seek(0)
    return words.read().strip()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
