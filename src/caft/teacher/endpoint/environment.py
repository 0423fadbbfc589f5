"""Settings of the environment that decide how an address is reached: proxies and certificates.

No message holds the value of a proxy variable: it may have a password in it.
"""

import os
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SCHEMES = ("http", "https", "socks5", "socks5h")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_NOT_READ = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # of other programs
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


def environment_problem(url: str) -> str | None:
    """Say what is wrong with the variables that decide how a URL is asked; None if nothing is."""
    no_proxy = "*" in os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")).split(",")
    if is_elsewhere(url) and not no_proxy:
        for name in _set("http_proxy", "https_proxy", "all_proxy"):
            if problem := _proxy_problem(os.environ[name]):
                return f"the environment variable {name} {problem}"
    if not (is_elsewhere(url) or url.startswith("https")):
        return None
    for name, there in zip(_CERTIFICATES, (os.path.isfile, os.path.isdir), strict=True):
        path = os.environ.get(name)
        if path and not there(path):
            return f"{name} names {path}, which is not there; correct it or unset it."
        if path and name == "SSL_CERT_FILE":
            try:
                ssl.create_default_context(cafile=path)
            except OSError:  # ssl.SSLError is one
                return f"{name} names {path}, which holds no certificate; correct it or unset it."
    return None


def is_elsewhere(url: str) -> bool:
    """Whether an address is another machine's: there is no proxy to oneself."""
    return urlsplit(url).hostname not in _LOOPBACK


def is_loopback(url: str) -> bool:
    """Whether what is sent to an address does not leave this machine, proxies apart."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy_problem(value: str) -> str | None:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        whole = parts.hostname is not None and parts.port != 0
    except ValueError:
        whole = False
    if parts.scheme not in _SCHEMES:
        known = ", ".join(_SCHEMES)
        return f"has a proxy of a kind that cannot be used ({known} can); correct it or unset it."
    if not whole:
        return "is no address of a proxy; write it as http://host:port or unset it."
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        return (
            "names a SOCKS proxy, which needs the package socksio: pip install socksio, name an "
            "http:// proxy, or unset it."
        )
    return None


def proxies_of(url: str) -> list[str]:
    """Return the names of the variables whose proxy stands between here and an address."""
    parts = urlsplit(url)
    if not is_elsewhere(url) or proxy_bypass(parts.hostname or ""):
        return []
    own = list(_set(f"{parts.scheme}_proxy"))
    return own or list(_set("all_proxy"))


def _set(*names: str) -> Iterator[str]:
    for name in names:
        for spelling in (name, name.upper()):
            if os.environ.get(spelling):
                yield spelling


def certificate_problem(error: BaseException, address: str) -> str | None:
    """Say what to do about a connection that TLS ended; None if it was something else.

    Args:
        error: what the connection failed with, and what it came from.
        address: what was asked.
    """
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    said = " ".join(str(one) for one in causes)
    if _UNTRUSTED in said:
        why = next(
            (one.verify_message for one in causes if isinstance(one, ssl.SSLCertVerificationError)),
            said.partition(f"{_UNTRUSTED}] ")[2].split(" (_ssl")[0],
        )
        unread = "".join(f" {name} is not read." for name in _NOT_READ if os.environ.get(name))
        now = os.environ.get("SSL_CERT_FILE")
        return (
            f"the certificate of {address} is not trusted ({why}): check base_url and the clock; "
            "where the endpoint or a proxy has an authority of its own, set SSL_CERT_FILE to a "
            f"file with its certificates{f' (now {now})' if now else ''}.{unread}"
        )
    if "WRONG_VERSION_NUMBER" in said or "UNKNOWN_PROTOCOL" in said or "record layer" in said:
        return f"{address} does not speak TLS: does its base_url begin with http://, without s?"
    return None
