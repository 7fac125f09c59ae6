"""moto's S3 server with one request at a time.

The stock server checks If-Match and stores in two steps, and its threads run between them, so that two swaps of one version can both win.
The request that holds this lock is handled alone.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

application = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()


def one_at_a_time(environ, start_response):
    with lock:
        answer = application(environ, start_response)
        try:
            # Read to its end: what is lazy would run outside of the lock.
            return [b"".join(answer)]
        finally:
            close = getattr(answer, "close", None)
            if close:
                close()


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True, request_handler=Handler)
