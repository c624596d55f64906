"""Which architecture suits a program best, asked over gRPC from Python.

    apt-get install python3-grpcio protobuf-compiler protobuf-compiler-grpc
    mkdir stubs && protoc -I proto --python_out=stubs --grpc_python_out=stubs \\
      --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin \\
      proto/perfvec/v1/resources.proto proto/perfvec/v1/prediction_service.proto
    PYTHONPATH=stubs python3 client/examples/python/best_processor.py \\
      127.0.0.1:7450 PROGRAM [DEADLINE_MS]

Prints a line for each of the three best, with the interval of its time. Exits
with 1 and the server's message if it cannot.
"""

import random
import sys
import time

import grpc
from perfvec.v1 import prediction_service_pb2 as prediction
from perfvec.v1 import prediction_service_pb2_grpc as prediction_grpc

CALL_SECONDS = 5


def with_retries(call, request, attempts=5):
    """Repeats what the server asks to be repeated; docs/api.md#errors."""
    for attempt in range(attempts):
        try:
            return call(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            hint = trailers.get("retry-after-ms")
            again = error.code() == grpc.StatusCode.UNAVAILABLE or (
                error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and hint)
            if not again or attempt + 1 == attempts:
                raise
            pause = max(int(hint or 0) / 1000, 0.1 * 2**attempt)
            time.sleep(pause * random.uniform(1, 1.5))


def main():
    address, program = sys.argv[1:3]
    request = prediction.RankRequest(
        program=program, objective=prediction.OBJECTIVE_TIME, limit=3)
    if len(sys.argv) > 3:
        request.deadline_ns = 1e6 * float(sys.argv[3])
    with grpc.insecure_channel(address) as channel:
        service = prediction_grpc.PredictionServiceStub(channel)
        try:
            answer = with_retries(service.Rank, request)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    for item in answer.items:
        interval = ""
        if item.HasField("low_ns"):  # absent: the model is not calibrated
            interval = f" {item.low_ns:.0f} {item.high_ns:.0f}"
        print(f"{item.name} {item.time_ns:.0f}{interval}")


if __name__ == "__main__":
    main()
