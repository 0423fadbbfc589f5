"""A teacher to try things with: answers the tutorial's questions as an OpenAI-compatible endpoint.

It reads the explanations in questions.csv. As paid teachers do, it gets some answers wrong and
breaks some off at the limit of tokens. It listens on this machine only, until it is stopped:

    python docs/tutorial/teacher.py --port 8765
"""

import argparse
import csv
import json
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

QUESTIONS = Path(__file__).parent / "questions.csv"


def known() -> dict[str, dict[str, str]]:
    """Return the rows of the file by their question."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        return {row["question"]: row for row in csv.DictReader(file)}


def reply(row: dict[str, str]) -> tuple[str, str]:
    """Return a text, and why it ends: about one of ten is wrong, and one of ten cut off."""
    lot = int(sha256(row["question"].encode()).hexdigest(), 16) % 10
    if lot == 0:
        return f"{row['explanation']} [[{int(row['answer']) + 1}]]", "stop"
    if lot == 1:
        return row["explanation"][:12], "length"
    return f"{row['explanation']} [[{row['answer']}]]", "stop"


def completion(request: dict, rows: dict[str, dict[str, str]]) -> dict:
    """Return the answer to a request of the chat completions protocol; a word is a token here."""
    asked = request["messages"][-1]["content"]
    row = next((row for question, row in rows.items() if asked.startswith(question)), None)
    text, ending = reply(row) if row else ("I do not know that question.", "stop")
    prompt, written = len(asked.split()), len(text.split())
    return {
        "object": "chat.completion",
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": ending,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        },
    }


class Endpoint(BaseHTTPRequestHandler):
    """Answers `POST /v1/chat/completions`."""

    protocol_version = "HTTP/1.1"
    rows = known()

    def do_POST(self) -> None:
        """Answer a request; a server that bills would look at its key here."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(completion(request, self.rows)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Endpoint)
    print(f"The teacher listens on http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()
