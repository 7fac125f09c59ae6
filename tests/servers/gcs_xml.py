"""A GCS XML API server in memory: objects with generations, conditions on them, and lists. One lock makes it linearizable.

It keeps no tokens and looks at none. What it does not know is answered with 501. Reference: https://cloud.google.com/storage/docs/xml-api
"""

import hashlib
import re
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

lock = threading.Lock()
objects = {}  # (bucket, name) -> Stored
last_generation = time.time_ns() // 1000


class Stored:
    """What a name holds. A generation is given once and never again."""

    def __init__(self, body, meta):
        global last_generation
        last_generation += 1
        self.body, self.meta, self.generation, self.seconds = body, meta, last_generation, time.time()
        self.etag = '"%s"' % hashlib.md5(body).hexdigest()

    def headers(self):
        return {
            **self.meta,
            "ETag": self.etag,
            "Last-Modified": formatdate(self.seconds, usegmt=True),
            "x-goog-generation": str(self.generation),
            "x-goog-metageneration": "1",
        }

    def line(self, name):
        modified = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.seconds)) + ".%03dZ" % (self.seconds % 1 * 1000)
        return (
            f"<Contents><Key>{escape(name)}</Key><Generation>{self.generation}</Generation>"
            f"<LastModified>{modified}</LastModified><ETag>{escape(self.etag)}</ETag>"
            f"<Size>{len(self.body)}</Size></Contents>"
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece, and no waiting for an acknowledgement in between.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def refuse(self, status, code):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())

    def handle_request(self):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        bucket, _, name = unquote(url.path).lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if bucket != "probe":
            return self.refuse(404, "NoSuchBucket")
        if "uploads" in query or "uploadId" in query or self.headers.get("x-goog-copy-source"):
            return self.refuse(501, "NotImplemented")
        if not name:
            return self.list(bucket, query) if self.command == "GET" else self.refuse(501, "NotImplemented")
        with lock:
            found = objects.get((bucket, name))
            if self.command == "PUT":
                return self.put(bucket, name, found, body)
            if self.command == "DELETE":
                return self.delete(bucket, name, found)
        return self.get(found) if self.command in ("GET", "HEAD") else self.refuse(501, "NotImplemented")

    def condition_holds(self, found):
        wanted = self.headers.get("x-goog-if-generation-match")
        return wanted is None or int(wanted) == (found.generation if found else 0)

    def put(self, bucket, name, found, body):
        if not self.condition_holds(found):
            return self.refuse(412, "PreconditionFailed")
        kept = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language")
        meta = {
            key.lower(): value
            for key, value in self.headers.items()
            if key.lower() in kept or key.lower().startswith("x-goog-meta-")
        }
        stored = objects[bucket, name] = Stored(body, meta)
        self.answer(200, headers={"ETag": stored.etag, "x-goog-generation": str(stored.generation)})

    def delete(self, bucket, name, found):
        if not found:
            return self.refuse(404, "NoSuchKey")
        if not self.condition_holds(found):
            return self.refuse(412, "PreconditionFailed")
        del objects[bucket, name]
        self.answer(204)

    def get(self, found):
        if not found:
            return self.refuse(404, "NoSuchKey")
        if self.headers.get("If-Match") not in (None, "*", found.etag):
            return self.refuse(412, "PreconditionFailed")
        if self.headers.get("If-None-Match") in ("*", found.etag):
            return self.answer(304, headers=found.headers())
        size, headers = len(found.body), found.headers()
        if self.command == "HEAD":
            return self.answer(200, headers={**headers, "Content-Length": str(size)})
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not wanted:
            return self.answer(200, found.body, headers)
        first, last = wanted.groups()
        begin = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if begin >= size:
            return self.refuse(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
        self.answer(206, found.body[begin : end + 1], headers)

    def list(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after") or ""
        most = min(int(query.get("max-keys") or 1000), 1000)
        with lock:
            names = sorted(name for place, name in objects if place == bucket and name.startswith(prefix))
            stored = {name: objects[bucket, name] for name in names}
        lines, last, more = [], None, False
        for name in names:
            folder = None
            if delimiter and delimiter in name[len(prefix) :]:
                folder = prefix + name[len(prefix) :].split(delimiter)[0] + delimiter
            # Where the last page ended with a folder, all that is in it was said.
            if name <= after or (folder and (folder == last or after.startswith(folder))):
                continue
            if len(lines) == most:
                more = True
                break
            lines.append(
                f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                if folder
                else stored[name].line(name)
            )
            last = folder or name
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        text = (
            f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult><Name>{bucket}</Name>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(lines)}</ListBucketResult>"
        )
        self.answer(200, text.encode(), {"Content-Type": "application/xml"})

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
