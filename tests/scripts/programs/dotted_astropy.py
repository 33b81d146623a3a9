"""A submodule by its dots: astropy.io.fits.

kind: 02
inputs: number=[1]
expect: [0]
"""

import json
import sys

import astropy.io.fits

from papympi import node, run


@node(pool="work", stride=1)
def cards(number):
    return len(astropy.io.fits.Header())


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1]}, pools={"work": pool}))))
