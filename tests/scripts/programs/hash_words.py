"""The hash of a word is the same on all workers.

kind: 13
inputs: word=["mouse", "mouse", "mouse", "mouse", "mouse", "mouse"]
expect: [1]
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
def kinds(bucket):
    return len(set(bucket))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(
            json.dumps(
                list(run({"word": ["mouse", "mouse", "mouse", "mouse", "mouse", "mouse"]}, pools={"work": pool}))
            )
        )
