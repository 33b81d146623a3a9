"""With PYTHONHASHSEED the hash of a word is the same everywhere.

kind: 13
inputs: word=["mouse", "mouse", "mouse", "mouse", "mouse", "mouse"]
expect: [true]
env: PYTHONHASHSEED=7
"""

import json
import sys
import time

from papympi import node, run


@node(pool="work", stride=1)
def bucket(word):
    time.sleep(0.01)
    return hash(word)


@node(pool="inline", gather=True)
def same(bucket):
    return set(bucket) == {hash("mouse")}


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(
            json.dumps(
                list(run({"word": ["mouse", "mouse", "mouse", "mouse", "mouse", "mouse"]}, pools={"work": pool}))
            )
        )
