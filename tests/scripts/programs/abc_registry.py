"""A class of the script registered with an ABC of the script.

kind: identity
inputs: number=[1, 2]
expect: [[true, true], [true, true]]
"""

import abc
import collections.abc
import json
import sys

from papympi import node, run


class Shape(abc.ABC):
    pass


class Square:
    pass


Shape.register(Square)
collections.abc.Sequence.register(Square)


@node(pool="work", stride=1)
def known(number):
    return isinstance(Square(), Shape), isinstance(Square(), collections.abc.Sequence)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
