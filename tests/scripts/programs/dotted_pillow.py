"""A submodule by its dots: PIL.Image.

kind: 02
inputs: number=[2, 3]
expect: [[2, 2], [3, 3]]
"""

import json
import sys

import PIL.Image

from papympi import node, run


@node(pool="work", stride=1)
def size(number):
    return PIL.Image.new("L", (number, number)).size


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [2, 3]}, pools={"work": pool}))))
