"""A submodule by its dots: xml.etree.ElementTree.

kind: 02
inputs: number=[1, 2]
expect: ["a1", "a2"]
"""

import json
import sys
import xml.etree.ElementTree

from papympi import node, run


@node(pool="work", stride=1)
def tag(number):
    return xml.etree.ElementTree.fromstring(f"<a{number}/>").tag


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
