"""Classes that are defined in main(), one the base of the other, with a registry.

kind: 29
expect: [true, true]
skip run: its graph is made in a function
"""

import json
import sys

import papympi


def main(pool):
    class Base:
        kinds = {}

        def __init_subclass__(cls):
            Base.kinds[cls.__name__] = cls

    class Peak(Base):
        def __init__(self, at):
            super().__init__()
            self.at = at

    def peak(number):
        assert Base.kinds["Peak"] is Peak
        return Peak(number)

    print(json.dumps([type(one) is Peak for one in papympi.map(peak, [1, 2], pool=pool)]))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        main(pool)
