"""Proxies, certificates and addresses that cannot be used are named, and no password is shown."""

import http.server
import json
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest
from asking import CANARY, SPEC, Words, ask, make, request, teacher
from scripted_server import ScriptedServer, reply

from caft.errors import ConfigError, TeacherError
from caft.running.settings import Engine
from caft.teacher.asking import Setup, open_asking
from caft.teacher.sections import read_judge, read_teacher

PASSWORD = "pass-word-0123456789"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in (*VARIABLES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def elsewhere(server):
    """Return the address of a server as if it were another machine's."""
    return server.url.replace("127.0.0.1", "127.0.0.2")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:9", "names a SOCKS proxy.*pip install"),
        ("all_proxy", "socks5h://127.0.0.1:9", "needs the package socksio"),
        ("HTTPS_PROXY", f"ftp://me:{PASSWORD}@host:1", "of a kind that cannot be used"),
        ("http_proxy", "socks4://host:1", "of a kind that cannot be used"),
        ("HTTP_PROXY", f"http://me:{PASSWORD}@host:port", "is no address of a proxy"),
        ("HTTP_PROXY", "http://", "is no address of a proxy"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "names /no/such/file.pem, which is not there"),
        ("SSL_CERT_FILE", __file__, "holds no certificate"),
        ("SSL_CERT_DIR", "/no/such/folder", "which is not there"),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_a_variable_that_cannot_be_used_is_named(monkeypatch, tmp_path, name, value, told, batch):
    monkeypatch.setenv(name, value)
    asked = make({**SPEC, "base_url": "http://127.0.0.2:9/v1", "batch": batch}, tmp_path)
    with pytest.raises(ConfigError, match=f"cannot be reached: .*{name} .*{told}") as caught:
        ask(asked, [request("q0")])
    assert PASSWORD not in str(caught.value)


def test_variables_do_not_matter_for_this_machine_and_where_no_proxy_excludes_all(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with ScriptedServer() as server:
        assert len(ask(teacher(server), [request("q0")])) == 1
        monkeypatch.setenv("NO_PROXY", "*")
        assert len(ask(make({**SPEC, "base_url": elsewhere(server)}), [request("q0")])) == 1


@pytest.mark.parametrize("value", ["127.0.0.1:9", f"http://me:{PASSWORD}@127.0.0.1:9"])
def test_a_proxy_that_does_not_answer_is_named_in_the_error(monkeypatch, value):
    monkeypatch.setenv("HTTP_PROXY", value)
    with ScriptedServer() as server:
        asked = make({**SPEC, "base_url": elsewhere(server), "attempts": 1})
        (answer,) = ask(asked, [request("q0")]).values()
        assert "it goes through the proxy in HTTP_PROXY" in answer.raw["error"]
        assert PASSWORD not in answer.raw["error"]


def test_a_key_goes_through_a_proxy_unencrypted_only_where_that_is_said(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@127.0.0.1:9")
    monkeypatch.setenv("BIG_KEY", CANARY)
    with ScriptedServer() as server:
        spec = {**SPEC, "base_url": elsewhere(server), "api_key_env": "BIG_KEY", "attempts": 1}
        with pytest.raises(ConfigError, match=r"the proxy in HTTP_PROXY could read .*\$BIG_KEY"):
            ask(make(spec), [request("q0")])
        (answer,) = ask(make({**spec, "allow_plain_http": True}), [request("q0")]).values()
        assert "the connection to" in answer.raw["error"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.2")
        (answer,) = ask(make(spec), [request("q0")]).values()
        assert "HTTP_PROXY" not in answer.raw["error"]


def test_a_job_says_at_its_start_where_questions_and_the_key_go(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("BIG_KEY", CANARY)
    monkeypatch.setattr("caft.teacher.asking.load_tokenizer", lambda folder: Words())
    spec = read_teacher({**SPEC, "base_url": "https://host/v1", "api_key_env": "BIG_KEY"})
    strict = read_judge({**SPEC, "base_url": "http://gpu:1/v1"})
    with caplog.at_level("INFO", logger="caft"):
        for path, section in (("teachers.large", spec), ("judges.strict", strict)):
            setup = Setup(path, section, Engine(), tmp_path / "student.json", tmp_path / "store")
            with open_asking(setup, lambda teacher, store: None):
                assert caplog.messages
    assert caplog.messages == [
        "teacher large: https://host/v1, key from $BIG_KEY",
        "judge strict: http://gpu:1/v1, no key",
    ]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://host/v1/chat/completions", "ends in /chat/completions, which is added to it"),
        ("https://host/v1/chat/completions/", "give the address without that"),
        ("https://host/v1/completions", "ends in /completions"),
        ("https://host/v1/responses", "ends in /responses"),
        ("https://host:port/v1", "is no address"),
        ("https://host/v1 ", "is no address"),
        ("https://", "is no address"),
    ],
)
def test_an_address_that_is_pasted_whole_or_wrong_is_told(url, told):
    with pytest.raises(ConfigError, match=f"base_url {told}|{told}"):
        make({**SPEC, "base_url": url})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every question."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        content = json.dumps(reply("so [[1]]")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(context=None):
    """Run a server on all addresses of this machine and yield its port."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    server.handle_error = lambda *_: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def secure(tmp_path):
    """A server with a certificate that it signed itself; yields its address and certificate."""
    if not shutil.which("openssl"):
        pytest.skip("a certificate needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    named = ["-addext", "subjectAltName=IP:127.0.0.2", "-keyout", key, "-out", certificate]
    subprocess.run([*command.split(), *named], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as port:
        yield f"https://127.0.0.2:{port}/v1", certificate


def test_a_self_signed_certificate_stops_the_run_at_once_and_says_what_to_set(secure, monkeypatch):
    url, certificate = secure
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    told = r"is not trusted \(self.signed certificate\): .*set SSL_CERT_FILE.*REQUESTS_CA_BUNDLE is"
    with pytest.raises(TeacherError, match=told):
        ask(make({**SPEC, "base_url": url, "attempts": 6}), [request("q0")])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    (answer,) = ask(make({**SPEC, "base_url": url}), [request("q0")]).values()
    assert answer.text == "so [[1]]"


def test_a_certificate_for_another_name_stops_the_run(secure, monkeypatch):
    url, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(TeacherError, match=r"is not trusted \(.*now .*certificate.pem"):
        ask(make({**SPEC, "base_url": url.replace("127.0.0.2", "127.0.0.3")}), [request("q0")])


def test_an_endpoint_without_tls_is_told():
    with serving() as port, pytest.raises(TeacherError, match="does not speak TLS"):
        ask(make({**SPEC, "base_url": f"https://127.0.0.2:{port}/v1"}), [request("q0")])
