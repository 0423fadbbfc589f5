"""A command that serves a model, as a teacher starts it: with a child process, good or bad.

    python own_server.py PORT PIDS [slow|dies|sick|stubborn|later|guarded [KEY]]

The pids of both processes go to the file PIDS. A guarded server wants KEY, or else VLLM_API_KEY.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripted_server import reply

ANSWERS = 3  # after which the manner `later` ends the server


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def do_GET(self):
        if self._is_stranger():
            self._send(401, b"{}")
        else:
            self._send(503 if sys.argv[3] == "sick" else 200, b"{}")

    def do_POST(self):
        import json

        self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_stranger():
            self._send(401, b'{"error": {"message": "Unauthorized"}}')
            return
        Handler.served += 1
        if sys.argv[3] == "later" and Handler.served > ANSWERS:
            print("out of memory", flush=True)
            os._exit(3)
        self._send(200, json.dumps(reply("so [[1]]")).encode())

    def _is_stranger(self):
        key = [*sys.argv[4:], os.environ.get("VLLM_API_KEY")][0]
        known = self.headers.get("Authorization") == f"Bearer {key}"
        return sys.argv[3] == "guarded" and self.path != "/health" and not known

    def _send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port, pids, manner = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    # A child in a session of its own, as an engine beside the server.
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    pids.write_text(f"{os.getpid()} {child.pid}")
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if manner == "dies":
        sys.exit("no such model \x1b[2J\u202e ü")
    if manner == "slow":
        time.sleep(1)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever).start()
