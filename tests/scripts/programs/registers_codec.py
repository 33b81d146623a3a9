"""A module imported for what it registers: a codec.

kind: 11
inputs: word=["abc", "xyz"]
expect: ["CBA", "ZYX"]
"""

import json
import sys

import backwards

from papympi import node, run


@node(pool="work", stride=1)
def turned(word):
    return word.encode("backwards").decode("ascii")


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"word": ["abc", "xyz"]}, pools={"work": pool}))))
