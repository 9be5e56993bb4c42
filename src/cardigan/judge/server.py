"""The page over HTTP, for this machine alone: loopback, a token, and no request that another page could have sent.

Whoever has the token may judge. Nothing in an address is a path: what is asked for is looked up among few names, as it
stands. Every request must name this very server as its host, which a page that was rebound to it cannot, and what
changes anything must come from this very page.
"""

import json
import secrets
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs

from cardigan.errors import CardiganError
from cardigan.judge.desk import Desk, RefusedError
from cardigan.judge.page import Page, result_lines

HOST = "127.0.0.1"
LARGEST = 4096
"""Bytes of a request's body."""
PATIENCE = 20
"""Seconds that a client may be silent."""


class Server(ThreadingHTTPServer):
    """Serves a desk on loopback.

    Args:
        desk: where answers go.
        port: 0 picks a free one.

    Raises:
        CardiganError: if the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, desk: Desk, *, port: int = 0) -> None:
        self.desk, self.page = desk, Page.of(desk.plan, desk.size)
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            told = getattr(error, "strerror", None) or error
            raise CardiganError(
                f"Port {port} cannot be had: {told}. Choose another --port, or leave it out."
            ) from error
        self.host = f"{HOST}:{self.server_address[1]}"
        self.origin = f"http://{self.host}"
        self.cookie = f"cardigan-judge-{self.server_address[1]}"  # all ports of a machine share its cookies

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Our own mistakes are told; that a browser went away is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"{self.origin}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server_version, sys_version = "cardigan", ""

    @property
    def house(self) -> Server:
        return cast(Server, self.server)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if not self._admitted(query if path == "/" else ""):
            return
        if path == "/":
            cookie = f"{self.house.cookie}={self.house.token}; Path=/; HttpOnly; SameSite=Strict"
            more = {"Set-Cookie": cookie, "Content-Security-Policy": self.house.page.policy}
            self._reply(200, self.house.page.html, "text/html; charset=utf-8", more)
        elif path == "/answers.csv" and self.house.desk.finished():
            file = self.house.desk.answers.path
            saved = {"Content-Disposition": f'attachment; filename="{file.name}"'}
            self._reply(200, file.read_bytes() if file.exists() else b"", "text/csv; charset=utf-8", saved)
        elif path.startswith("/picture/") and (blob := self.house.desk.picture(path.removeprefix("/picture/"))):
            self._reply(200, blob, "image/png")
        else:
            self._refuse(404, "There is no such page.")

    def do_POST(self) -> None:
        if not self._admitted("", changes=True):
            return
        try:
            told = self._told()
            self._reply(200, json.dumps(self._act(told)).encode(), "application/json")
        except RefusedError as error:
            self._refuse(error.status, str(error))
        except OSError as error:
            self._refuse(500, f"The answer could not be kept: {error.strerror or error}. Mend that and answer again.")

    def _act(self, told: dict[str, Any]) -> dict[str, Any]:
        desk, rater = self.house.desk, str(told.get("rater", ""))
        if self.path == "/begin":
            return desk.begin(rater)
        if self.path == "/answer":
            number, seconds = told.get("number"), told.get("seconds")
            if not (isinstance(number, int) and isinstance(seconds, int | float)):
                raise RefusedError(400, "This is no answer.")
            return desk.answer(rater, number, str(told.get("side")), float(seconds))
        if self.path == "/results":
            return result_lines(desk.results(rater))
        raise RefusedError(404, "There is no such page.")

    def _admitted(self, query: str, *, changes: bool = False) -> bool:
        """Whether the request names this server, comes from its page or from no page, and knows the token."""
        house, headers = self.house, self.headers
        origins = headers.get_all("Origin", [])
        ours = origins == [house.origin] or (not origins and not changes)
        if headers.get_all("Host", []) != [house.host] or not ours:
            self._refuse(403, f"This page is for this machine only. Open it at {house.origin}, as the terminal says.")
        elif changes and headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            self._refuse(403, "This request comes from another page.")
        elif not any(secrets.compare_digest(token.encode(), house.token.encode()) for token in self._tokens(query)):
            self._refuse(403, "The token is missing or wrong. Open the address that the terminal shows.")
        else:
            return True
        return False

    def _tokens(self, query: str) -> list[str]:
        cookies = [pair.strip().partition("=") for pair in ";".join(self.headers.get_all("Cookie", [])).split(";")]
        return [*parse_qs(query).get("token", []), *(value for name, _, value in cookies if name == self.house.cookie)]

    def _told(self) -> dict[str, Any]:
        """The body of a request: a JSON object."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            raise RefusedError(411, "The length of the request is missing.")
        if len(length) > 9 or int(length) > LARGEST:
            raise RefusedError(413, f"The request is larger than {LARGEST:,} bytes.")
        if self.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise RefusedError(415, "The request is not JSON.")
        try:
            told = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise RefusedError(400, "The request is no JSON object.")
        return told

    def _refuse(self, status: int, message: str) -> None:
        self._reply(status, json.dumps({"error": message}).encode(), "application/json")

    def _reply(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        self.send_response(status)
        for name, value in (always | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself, such as another method, in our way."""
        self._refuse(code, message or "This request cannot be answered.")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the first request's line holds the token."""
