"""Servers on loopback: a misbehaving object store, and a proxy that spoils a real one's answers."""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

Answer = tuple[int, bytes]
Fault = Callable[[str, str], str]
"""(method, path) -> the handling of a request.

"" serves it, "503" answers so instead, "apply 500" serves it and then answers so, "apply close"
serves it and closes the connection.
"""


def error_xml(code: str) -> bytes:
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
        f"<Message>told to answer {code}</Message></Error>"
    ).encode()


CODES = {
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
    403: "AccessDenied",
    404: "NoSuchKey",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *arguments: object) -> None:
        pass

    def _go(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.requests.append(f"{self.command} {self.path}")
            fault = self.server.fault(self.command, self.path)
        if fault.isdigit():
            self._answer(int(fault), error_xml(CODES[int(fault)]))
            return
        status, content, headers = self.server.serve(
            self.command, self.path, dict(self.headers), body
        )
        if fault == "apply close":
            self.close_connection = True
            return
        if fault:
            status, content, headers = (
                int(fault.split()[1]),
                error_xml(CODES[int(fault.split()[1])]),
                {},
            )
        self._answer(status, content, headers)

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "application/xml",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _go


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.requests: list[str] = []
        self.fault: Fault = lambda method, path: ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        raise NotImplementedError

    def handle_error(self, *arguments: object) -> None:
        """A client that went away is no news."""


class FakeStore(_Server):
    """Buckets in memory. `heeds` says whether If-None-Match counts."""

    def __init__(self, *, heeds: bool = True) -> None:
        super().__init__()
        self.heeds = heeds
        self.objects: dict[str, bytes] = {}

    def serve(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(path)
        name, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        with self.lock:
            if method == "PUT":
                if self.heeds and name in self.objects and "If-None-Match" in headers:
                    return 412, error_xml("PreconditionFailed"), {}
                self.objects[name] = body
                return 200, b"", {"ETag": '"x"'}
            if method == "DELETE":
                self.objects.pop(name, None)
                return 204, b"", {}
            if method == "GET" and "list-type" in query:
                return (
                    200,
                    self._listing(
                        name.rstrip("/"),
                        query.get("prefix", [""])[0],
                        query.get("delimiter", [""])[0],
                    ),
                    {},
                )
            if name not in self.objects:
                return 404, b"" if method == "HEAD" else error_xml("NoSuchKey"), {}
            content = self.objects[name]
            return 200, content, {"ETag": '"x"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}

    def _listing(self, bucket: str, prefix: str, delimiter: str) -> bytes:
        keys = sorted(
            name.removeprefix(f"{bucket}/")
            for name in self.objects
            if name.startswith(f"{bucket}/{prefix}")
        )
        folders = sorted(
            {
                prefix + key.removeprefix(prefix).split("/")[0] + "/"
                for key in keys
                if delimiter and "/" in key.removeprefix(prefix)
            }
        )
        files = [key for key in keys if not (delimiter and "/" in key.removeprefix(prefix))]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key>"
            f"<Size>{len(self.objects[f'{bucket}/{key}'])}</Size>"
            "<LastModified>2026-01-01T00:00:00Z</LastModified>"
            '<ETag>"x"</ETag><StorageClass>STANDARD</StorageClass></Contents>'
            for key in files
        )
        entries += "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in folders
        )
        count = len(files) + len(folders)
        return (
            f"<ListBucketResult><KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>"
            f"{entries}</ListBucketResult>"
        ).encode()


class Proxy(_Server):
    """Passes requests on to the store at `port`."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def serve(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in (
                    "connection",
                    "expect",
                    "transfer-encoding",
                    "content-length",
                ):
                    connection.putheader(name, value)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("connection", "transfer-encoding")
            }
            return answer.status, content, kept
        finally:
            connection.close()


@contextmanager
def running(server: _Server) -> Iterator[_Server]:
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def times(fault: str, method: str, pattern: str, count: int = 1) -> Fault:
    """`fault` for the first `count` requests of `method` whose path matches `pattern`."""
    left = [count]

    def decide(called: str, path: str) -> str:
        if called == method and re.search(pattern, unquote(path)) and left[0] > 0:
            left[0] -= 1
            return fault
        return ""

    return decide


def lead_to(
    url: str, monkeypatch: pytest.MonkeyPatch, *, key: str = "testkey", secret: str = "testsecret"
) -> None:
    """Have s3fs talk to `url`."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'ray_al[s3]'")
    values = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
