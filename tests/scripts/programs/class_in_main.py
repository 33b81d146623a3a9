"""A class attribute that main() changes.

kind: globals
inputs: number=[1, 2]
expect: [3, 6]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys

from papympi import node, run


class Config:
    rate = 1


@node(pool="work", stride=1)
def scaled(number):
    return number * Config.rate


def main():
    Config.rate = 3
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))


if __name__ == "__main__":
    main()
