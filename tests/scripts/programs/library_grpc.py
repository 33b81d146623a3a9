"""gRPC: a server and a channel at the top, and others in the node.

kind: libraries
inputs: number=[1, 2]
expect: ["1!", "2!"]
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from papympi import node, run


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda words, context: words + b"!")


def ask(words):
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = channel.unary_unary("/lab/echo")(words, timeout=20)
    server.stop(0).wait()
    return answer


assert ask(b"top") == b"top!"


@node(pool="work", stride=1)
def answered(number):
    return ask(str(number).encode()).decode()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
