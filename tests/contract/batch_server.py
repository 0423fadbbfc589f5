"""The batch interface of an endpoint, as a script says."""

import json
import time
from itertools import count
from urllib.parse import parse_qs, urlsplit

from scripted_server import ScriptedServer, reply


class BatchServer(ScriptedServer):
    """Serves files and batches; a batch ends when it has been looked at `polls` times.

    Args:
        line: makes the output of one request, given its custom_id and body: a chat completion, or
            (status, body) for a failed one, or None for one that is left out.

    Attributes:
        batches: by id, newest last.
        submitted: custom ids of every request that was submitted, in order.
        status: that of a batch in the end.
        created: is told of a new batch; what it returns is sent instead of the batch.
        down: whether looks at a batch are refused.
        reason: why a batch has failed, where that is the status.
        listed: makes the reply to a list of batches; None for a proper one.
        odd: changes what is said about a batch that is looked at.
        judged: is told of a batch that is looked at; what it returns is sent instead.
        refuse: is told of the lines of a new batch; what it returns is sent instead.
    """

    def __init__(self, line=lambda key, body: reply("so [[B]]"), polls=2, status="completed"):
        super().__init__()
        self.line, self.polls, self.status = line, polls, status
        self.files, self.batches, self.submitted = {}, {}, []
        self.created, self.down = lambda batch: None, False
        self.reason, self.listed = "the model is not known", None
        self.odd = self.judged = self.refuse = lambda batch: None
        self.ids = count(1)
        self.routes = {
            ("POST", "files"): self._upload,
            ("GET", "files"): self._content,
            ("POST", "batches"): self._create,
            ("GET", "batches"): self._look,
        }

    def _upload(self, path, headers, body):
        boundary = headers["content-type"].split("boundary=")[1].encode()
        parts = dict(part.split(b"\r\n\r\n", 1) for part in body.split(b"--" + boundary)[1:-1])
        (content,) = (value for head, value in parts.items() if b"filename=" in head)
        file_id = f"file-{next(self.ids)}"
        self.files[file_id] = content.removesuffix(b"\r\n")
        return 200, {}, {"id": file_id, "object": "file", "purpose": "batch"}

    def _content(self, path, headers, body):
        return 200, {}, self.files[path.split("/")[2]]

    def _create(self, path, headers, body):
        asked = json.loads(body)
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        if refused := self.refuse(lines):
            return refused
        self.submitted += [line["custom_id"] for line in lines]
        batch = {
            "id": f"batch_{next(self.ids)}",
            "object": "batch",
            "created_at": int(time.time()),
            "status": "in_progress",
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            **{name: asked[name] for name in ("endpoint", "completion_window", "metadata")},
        }
        self.batches[batch["id"]] = {"batch": batch, "lines": lines, "looks": 0}
        return self.created(batch) or (200, {}, batch)

    def _look(self, path, headers, body):
        parts = urlsplit(path)
        if parts.path == "/batches" and self.listed:
            return self.listed()
        if parts.path == "/batches":
            after = parse_qs(parts.query).get("after", [None])[0]
            listed = [known["batch"] for known in reversed(self.batches.values())]
            start = next((n + 1 for n, batch in enumerate(listed) if batch["id"] == after), 0)
            page = listed[start : start + 2]
            return 200, {}, {"data": page, "has_more": start + 2 < len(listed)}
        if self.down:
            return 404, {}, {}
        known = self.batches[parts.path.split("/")[2]]
        known["looks"] += 1
        if known["looks"] == self.polls:
            self._end(known)
        if judged := self.judged(known):
            return judged
        return 200, {}, self.odd(dict(known["batch"])) or known["batch"]

    def _end(self, known):
        if self.status == "failed":
            errors = {"data": [{"message": self.reason}]}
            known["batch"] |= {"status": "failed", "errors": errors}
            return
        output, errors = [], []
        for line in reversed(known["lines"]):  # in no order
            made = self.line(line["custom_id"], line["body"])
            if made is None:
                continue
            status, body = made if isinstance(made, tuple) else (200, made)
            response = {"status_code": status, "request_id": "r", "body": body}
            entry = {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}
            (output if status == 200 else errors).append(json.dumps(entry).encode())
        for name, entries in (("output_file_id", output), ("error_file_id", errors)):
            if entries:
                known["batch"][name] = f"file-{next(self.ids)}"
                self.files[known["batch"][name]] = b"\n".join(entries) + b"\n"
        known["batch"]["status"] = self.status
