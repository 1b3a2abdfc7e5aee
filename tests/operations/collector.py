"""An OTLP receiver, built from the official protobuf package: HTTP and gRPC. Appends each request to a file as a line
of JSON."""

import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

http_port, grpc_port, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
lock, out = threading.Lock(), open(path, "a")
REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}


def keep(over, signal, request):
    with lock:
        out.write(json.dumps({"over": over, "signal": signal, "request": MessageToDict(request)}) + "\n")
        out.flush()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signal = self.path.rsplit("/", 1)[1]
        assert self.headers["content-type"] == "application/x-protobuf" and self.path == f"/v1/{signal}", self.path
        keep("http", signal, REQUESTS[signal].FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def service(base, signal, answer):
    class Service(base):
        def Export(self, request, context):
            keep("grpc", signal, request)
            return answer()

    return Service()


server = grpc.server(futures.ThreadPoolExecutor(4))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
    service(trace_service_pb2_grpc.TraceServiceServicer, "traces", trace_service_pb2.ExportTraceServiceResponse), server
)
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
    service(metrics_service_pb2_grpc.MetricsServiceServicer, "metrics", metrics_service_pb2.ExportMetricsServiceResponse),
    server,
)
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
    service(logs_service_pb2_grpc.LogsServiceServicer, "logs", logs_service_pb2.ExportLogsServiceResponse), server
)
server.add_insecure_port(f"127.0.0.1:{grpc_port}")
server.start()
ThreadingHTTPServer(("127.0.0.1", http_port), Handler).serve_forever()
