"""A lock in a class: cached_property.

kind: 01
inputs: counts=[[1, 2, 3], [4, 5, 6]]
expect: [2.0, 5.0]
"""

import functools
import json
import sys

from papympi import node, run


class Spectrum:
    def __init__(self, counts):
        self.counts = counts

    @functools.cached_property
    def mean(self):
        return sum(self.counts) / len(self.counts)


@node(pool="work", stride=1)
def mean(counts):
    return Spectrum(counts).mean


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"counts": [[1, 2, 3], [4, 5, 6]]}, pools={"work": pool}))))
