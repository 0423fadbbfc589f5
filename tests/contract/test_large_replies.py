"""Replies that unpack to more than they are worth, or are nested without end."""

import gzip
import json
import socket
import threading
import zlib
from contextlib import contextmanager

import pytest
from asking import SPEC, ask, make, requests, teacher
from batch_server import BatchServer
from scripted_server import ScriptedServer, reply

from caft.errors import TeacherError
from caft.teacher.reading.ending import UNREADABLE

LARGE = 3_000_000


def packed(body, encoding):
    """Return a reply as a server packs it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding]
    return 200, {"Content-Encoding": encoding}, pack(content)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
@pytest.mark.parametrize(
    "body",
    [
        {**reply("so [[B]]"), "x": "a" * LARGE},
        {**reply("a" * LARGE)},
        b'{"choices": ' + b"[" * LARGE,
    ],
)
def test_a_reply_beyond_the_limit_is_kept_as_unreadable_and_asked_once(encoding, body):
    with ScriptedServer(lambda asked, times: packed(body, encoding)) as server:
        got = ask(teacher(server, max_reply_mb=1), requests(2))
    assert [answer.finish_reason for answer in got.values()] == [UNREADABLE] * 2
    for answer in got.values():
        assert answer.raw["error"] == "the reply was larger than max_reply_mb (1)"
        assert answer.text == "" and len(json.dumps(answer.raw)) < 5000
    assert server.asked == {"q0": 1, "q1": 1}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_packed_reply_within_the_limit_is_read(encoding):
    with ScriptedServer(lambda asked, times: packed(reply("so [[B]]"), encoding)) as server:
        (answer,) = ask(teacher(server, max_reply_mb=1), requests(1)).values()
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_reply_that_is_not_packed_as_its_header_says_is_read_as_it_came(encoding):
    plain = (200, {"Content-Encoding": encoding}, json.dumps(reply("so [[B]]")).encode())
    with ScriptedServer(lambda asked, times: plain) as server:
        (answer,) = ask(teacher(server), requests(1)).values()
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")
    assert server.asked == {"q0": 1}


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "x-gzip"}])
def test_what_is_packed_without_saying_so_is_unpacked(headers):
    packed = (200, headers, gzip.compress(json.dumps(reply("so [[B]]")).encode()))
    with ScriptedServer(lambda asked, times: packed) as server:
        (answer,) = ask(teacher(server), requests(1)).values()
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")


@pytest.mark.parametrize("size", [LARGE, 1_000_001])
def test_what_is_packed_without_saying_so_has_the_same_limit(size):
    packed = (200, {}, gzip.compress(json.dumps({**reply("so"), "x": "a" * size}).encode()))
    with ScriptedServer(lambda asked, times: packed) as server:
        (answer,) = ask(teacher(server, max_reply_mb=1), requests(1)).values()
    assert answer.finish_reason == UNREADABLE and server.asked == {"q0": 1}


STREAM = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "so [[B]]"}}]}\n\n'
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


@contextmanager
def hanging_behind(body):
    """Serve one reply that promises more than it has, and keep the connection open."""

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + body)
            while connection.recv(65536):
                pass  # until the client gives up

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        thread.join(30)


@pytest.mark.parametrize("body", [json.dumps(reply("so [[B]]")).encode(), STREAM])
def test_an_answer_that_came_whole_is_not_bought_again_though_its_transfer_hung(body):
    with hanging_behind(body) as url:
        asked = make({**SPEC, "base_url": url, "timeout_s": 1.0, "attempts": 1})
        (answer,) = ask(asked, requests(1)).values()
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")


def test_an_answer_that_came_whole_is_not_bought_again_though_its_transfer_broke_off():
    whole = json.dumps(reply("so [[B]]")).encode()
    chunk = b"%x\r\n%b\r\n" % (len(whole), whole)
    for headers, body in (
        ({"Content-Length": len(whole) + 9}, whole),
        ({"Content-Length": len(whole) + 9, "Content-Encoding": "gzip"}, gzip.compress(whole)),
        ({"Transfer-Encoding": "chunked"}, chunk),
        ({"Transfer-Encoding": "chunked"}, chunk + b"odd\r\n"),
        ({"Content-Length": 9999}, b": PROCESSING\n\n" + whole),
        ({"Content-Length": 9999}, b"\xef\xbb\xbf" + whole),
        ({"Content-Length": 9999}, STREAM),
    ):
        cut = (200, {**headers, "Connection": "close"}, body)
        with ScriptedServer(lambda asked, times, cut=cut: cut) as server:
            (answer,) = ask(teacher(server), requests(1)).values()
        assert (answer.text, server.asked) == ("so [[B]]", {"q0": 1})


def test_an_answer_whose_transfer_broke_off_within_is_asked_again():
    half = json.dumps(reply("so [[B]]")).encode()[:60]
    cut = (200, {"Content-Length": 999, "Connection": "close"}, half)
    with ScriptedServer(lambda asked, times: reply("so [[B]]") if times else cut) as server:
        (answer,) = ask(teacher(server), requests(1)).values()
    assert (answer.text, server.asked) == ("so [[B]]", {"q0": 2})


def test_a_gzip_bomb_of_errors_is_an_error_of_its_status():
    bomb = gzip.compress(b'{"error": {"message": "' + b"a" * LARGE)
    refusal = (500, {"Content-Encoding": "gzip"}, bomb)
    with ScriptedServer(lambda asked, times: refusal) as server:
        (answer,) = ask(teacher(server, max_reply_mb=1, attempts=1), requests(1)).values()
    assert answer.finish_reason == "error" and "answered 500" in answer.raw["error"]
    assert len(answer.raw["error"]) < 1000


@pytest.mark.parametrize("deep", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("levels", [120, 900, 100_000])
def test_a_deeply_nested_reply_is_unreadable_and_ends_nothing(deep, levels):
    body = json.dumps(reply("so [[B]]"))[:-1] + ', "x": ' + deep * levels
    with ScriptedServer(lambda asked, times: (200, {}, body.encode())) as server:
        (answer,) = ask(teacher(server, attempts=2), requests(1)).values()
    assert answer.finish_reason in (UNREADABLE, "error")
    assert server.asked["q0"] <= 2


def nested(key, body, levels):
    inner = 1
    for _ in range(levels):
        inner = [inner]
    return {**reply(f"so [[{key[-1]}]]"), "x": inner}


@pytest.mark.parametrize(
    "odd",
    [
        lambda key, body: reply("a" * LARGE),
        lambda key, body: {**reply("so [[1]]"), "x": "[" * LARGE},
        lambda key, body: nested(key, body, 150),
        lambda key, body: nested(key, body, 900),
    ],
)
def test_one_line_of_a_batch_that_is_too_large_or_deep_is_one_item_s(odd, tmp_path):
    def line(key, body):
        return odd(key, body) if key.endswith("1") else reply("so [[B]]")

    with BatchServer(line) as server:
        asked = teacher(server, batch=True, store=str(tmp_path), max_reply_mb=1)
        got = ask(asked, requests(3))
    endings = {key[-1]: answer.finish_reason for key, answer in got.items()}
    assert endings == {"0": "stop", "1": UNREADABLE, "2": "stop"}
    assert len(server.submitted) == 3  # none was bought twice


def test_a_file_of_results_beyond_the_limit_ends_the_job_and_the_batch_stays(tmp_path):
    def line(key, body):
        return reply("a" * 400_000)

    with BatchServer(line) as server:
        content = server.routes["GET", "files"]
        server.routes["GET", "files"] = lambda *call: packed(content(*call)[2], "gzip")
        limits = {"batch": True, "store": str(tmp_path), "max_reply_mb": 1}
        with pytest.raises(TeacherError, match="batch_max_result_mb .1.*Raise it and run again"):
            ask(teacher(server, batch_max_result_mb=1, **limits), requests(5))
        got = ask(teacher(server, batch_max_result_mb=10, **limits), requests(5))
    assert {answer.finish_reason for answer in got.values()} == {"stop"}
    assert len(server.submitted) == 5


def test_what_is_said_of_a_batch_is_bounded_too(tmp_path):
    with BatchServer() as server:
        server.odd = lambda batch: {**batch, "metadata": "a" * LARGE}
        limits = {"max_reply_mb": 1, "attempts": 1, "batch_patience_s": 0.2}
        with pytest.raises(TeacherError, match="no JSON object"):
            ask(teacher(server, batch=True, store=str(tmp_path), **limits), requests(1))
