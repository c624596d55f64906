"""Which architecture suits a program best, asked over gRPC from Python.

    PYTHONPATH=stubs python3 client/examples/python/best_processor.py \\
      [--tls-ca FILE] [--token-file FILE] HOST:PORT PROGRAM [DEADLINE_MS]

Prints a line for each of the three best, with the interval of its time. Exits
with 1 and the server's message if it cannot. How to make the stubs:
docs/clients.md.
"""

import argparse
import random
import sys
import time

import grpc
from perfvec.v1 import prediction_service_pb2 as prediction
from perfvec.v1 import prediction_service_pb2_grpc as prediction_grpc

CALL_SECONDS = 5


def with_retries(call, request, metadata, attempts=5):
    """Repeats what the server asks to be repeated; docs/api.md#errors."""
    for attempt in range(attempts):
        try:
            return call(request, timeout=CALL_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            hint = trailers.get("retry-after-ms")
            again = error.code() == grpc.StatusCode.UNAVAILABLE or (
                error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and hint)
            if not again or attempt + 1 == attempts:
                raise
            pause = max(int(hint or 0) / 1000, 0.1 * 2**attempt)
            time.sleep(pause * random.uniform(1, 1.5))


def connect(address, tls_ca):
    if not tls_ca:
        return grpc.insecure_channel(address)
    with open(tls_ca, "rb") as file:
        return grpc.secure_channel(
            address, grpc.ssl_channel_credentials(file.read()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls-ca", help="PEM file: who may sign the "
                        "server's certificate; without it: no TLS")
    parser.add_argument("--token-file", help="file with the token; needs TLS "
                        "for a server elsewhere")
    parser.add_argument("address")
    parser.add_argument("program")
    parser.add_argument("deadline_ms", type=float, nargs="?")
    options = parser.parse_args()
    request = prediction.RankRequest(
        program=options.program, objective=prediction.OBJECTIVE_TIME, limit=3)
    if options.deadline_ms is not None:
        request.deadline_ns = 1e6 * options.deadline_ms
    metadata = []
    if options.token_file:
        host = options.address.rpartition(":")[0]
        if not options.tls_ca and host not in ("127.0.0.1", "localhost"):
            parser.error("a token is not sent in the clear: --tls-ca")
        with open(options.token_file, encoding="ascii") as file:
            metadata.append(("authorization", f"Bearer {file.read().strip()}"))
    with connect(options.address, options.tls_ca) as channel:
        service = prediction_grpc.PredictionServiceStub(channel)
        try:
            answer = with_retries(service.Rank, request, metadata)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    for item in answer.items:
        interval = ""
        if item.HasField("low_ns"):  # absent: the model is not calibrated
            interval = f" {item.low_ns:.0f} {item.high_ns:.0f}"
        print(f"{item.name} {item.time_ns:.0f}{interval}")


if __name__ == "__main__":
    main()
