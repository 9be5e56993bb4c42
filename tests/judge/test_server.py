"""A hostile web client: what comes from another host, page or hand gets nothing, and nothing breaks."""

import http.client
import json
import socket
import threading

import pytest

from cardigan.errors import CardiganError
from cardigan.judge.server import LARGEST, Server


@pytest.fixture
def server(desk):
    with Server(desk()) as served:
        thread = threading.Thread(target=served.serve_forever, args=[0.01])
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def ask(server):
    """A request as the page would send it, but for what is changed; a header of None is left out."""

    def send(method, path, body=None, **changes):
        headers = {"Host": server.host, "Cookie": f"{server.cookie}={server.token}"}
        if method == "POST":
            headers |= {"Origin": server.origin, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers |= {"Content-Length": str(len(text))} if method == "POST" else {}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(text)
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers
        finally:
            connection.close()

    return send


def answered(server):
    return server.desk.answers.path.read_text(encoding="utf-8").count("\n") if server.desk.answers.path.exists() else 0


BEGIN = {"rater": "ann"}
ANSWER = {"rater": "ann", "number": 0, "side": "left", "seconds": 1.0}


def test_the_page_itself_gets_through(server, ask):
    status, page, headers = ask("GET", f"/?token={server.token}", Cookie=None)
    assert status == 200
    assert b"Real or fake?" in page
    assert headers["Set-Cookie"] == f"{server.cookie}={server.token}; Path=/; HttpOnly; SameSite=Strict"
    assert ask("GET", "/")[0] == 200  # with the cookie, as after loading anew
    status, told, _ = ask("POST", "/begin", BEGIN)
    assert status == 200
    (picture,) = json.loads(told)["pictures"]
    status, blob, headers = ask("GET", f"/picture/{picture}")
    assert (status, blob[1:4], headers["Content-Type"]) == (200, b"PNG", "image/png")
    assert ask("POST", "/answer", ANSWER)[0] == 200
    assert answered(server) == 2


@pytest.mark.parametrize("path", ["/", "/begin", "/answer", "/results", "/answers.csv"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost:{port}",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.1:1",
        "",
        None,
    ],
)
def test_a_foreign_host_is_forbidden(server, ask, path, host):
    host = host and host.format(port=server.server_port)
    method = "POST" if path in ("/begin", "/answer", "/results") else "GET"
    status, told, headers = ask(method, path, BEGIN if method == "POST" else None, Host=host)
    assert status == 403
    assert server.token.encode() not in told
    assert "Set-Cookie" not in headers
    assert answered(server) == 0


def test_two_hosts_are_forbidden(server):
    request = f"GET /?token={server.token} HTTP/1.1\r\nHost: {server.host}\r\nHost: evil.example\r\n\r\n"
    assert raw(server, request).startswith(b"HTTP/1.0 403")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:{port}",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "",
        None,
    ],
)
def test_a_foreign_origin_is_forbidden(server, ask, origin):
    origin = origin and origin.format(port=server.server_port)
    for path, body in (("/begin", BEGIN), ("/answer", ANSWER), ("/results", BEGIN)):
        assert ask("POST", path, body, Origin=origin)[0] == 403
    assert answered(server) == 0
    # A link that is followed names no origin; whoever names a foreign one reads nothing.
    assert ask("GET", "/", Origin=origin)[0] == (200 if origin is None else 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_another_page_sends_is_forbidden(server, ask, site):
    assert ask("POST", "/answer", ANSWER, Sec_Fetch_Site=site)[0] == 403
    assert answered(server) == 0


@pytest.mark.parametrize(
    "cookie", [None, "", "{name}=", "{name}=wrong", "other={token}", "{name}={token}x", "{name}=é", ";;;=", "{name}"]
)
def test_without_the_token_everything_is_forbidden(server, ask, cookie):
    cookie = cookie and cookie.format(name=server.cookie, token=server.token)
    cookie = cookie and cookie.encode("latin-1")
    for method, path in (
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/picture/x"),
        ("POST", "/begin"),
        ("POST", "/answer"),
    ):
        assert ask(method, path, BEGIN if method == "POST" else None, Cookie=cookie)[0] == 403
    assert ask("GET", "/?token=wrong", Cookie=cookie)[0] == 403
    # In an address, the token opens the page and nothing else.
    assert ask("POST", f"/begin?token={server.token}", BEGIN, Cookie=cookie)[0] == 403
    assert ask("GET", f"/answers.csv?token={server.token}", Cookie=cookie)[0] == 403


TRAVERSALS = [
    "/../config.json",
    "/..%2fconfig.json",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/picture/../../etc/passwd",
    "/picture/..%5c..%5cx",
]
TRAVERSALS += [
    "/picture/",
    "/picture/%00",
    "/picture/fake%200",
    "/picture/real 0".replace(" ", "%20"),
    "//etc/passwd",
    "/C:x",
]
TRAVERSALS += [
    "/windows/win.ini",
    "/answers.csv/",
    "/index.html",
    "/judgements/plan.json",
    "/picture",
    "http://evil.example/",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_an_unknown_path_is_not_found(ask, path):
    assert ask("GET", path)[0] == 404
    assert ask("POST", path, BEGIN)[0] == 404


def test_answers_are_not_handed_out_before_anyone_has_finished(server, ask, answer_all):
    assert ask("GET", "/answers.csv")[0] == 404
    assert ask("POST", "/results", BEGIN)[0] == 409
    answer_all(server.desk, "ann")
    status, table, headers = ask("GET", "/answers.csv")
    assert (status, table) == (200, server.desk.answers.path.read_bytes())
    assert headers["Content-Disposition"] == f'attachment; filename="{server.desk.plan.key}.csv"'
    status, told, _ = ask("POST", "/results", BEGIN)
    assert status == 200
    assert json.loads(told)["headline"] == "faces: 0% of 10 answers were wrong."


def test_a_large_body_is_refused_before_it_is_read(server, ask):
    assert ask("POST", "/begin", b"x" * (LARGEST + 1))[0] == 413
    for length in (10**8, 10**30):
        assert ask("POST", "/begin", BEGIN, Content_Length=str(length))[0] == 413
    assert ask("POST", "/begin", json.dumps(BEGIN).encode().ljust(LARGEST))[0] == 200


@pytest.mark.parametrize("length", [None, "-1", "+5", "1e3", "٣", "0x10", ""])
def test_a_body_without_a_length_is_refused(ask, length):
    told = length if length is None else length.encode("utf-8")
    assert ask("POST", "/begin", BEGIN, Content_Length=told)[0] == 411


def test_a_body_in_pieces_is_refused(ask):
    assert ask("POST", "/begin", BEGIN, Transfer_Encoding="chunked")[0] == 411


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_is_refused(ask, kind):
    assert ask("POST", "/begin", BEGIN, Content_Type=kind)[0] == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 4000, b'"ann"'])
def test_what_is_no_object_is_refused(ask, body):
    assert ask("POST", "/begin", body)[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"number": "0"},
        {"number": None},
        {"number": 0.5},
        {"seconds": "1"},
        {"side": 1},
        {"side": None},
        {"seconds": 1e99},
    ],
)
def test_what_is_no_answer_is_refused(server, ask, change):
    assert ask("POST", "/answer", ANSWER | change)[0] == 400
    assert answered(server) == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "CONNECT"])
def test_other_methods_are_refused(ask, method):
    assert ask(method, "/")[0] == 501


def test_the_same_answer_twice_is_one(server, ask):
    replies = [ask("POST", "/answer", ANSWER)[1] for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert answered(server) == 2


def test_two_tabs_at_once_give_one_answer(server, ask):
    threads = [threading.Thread(target=ask, args=("POST", "/answer", ANSWER)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered(server) == 2


def test_every_reply_is_closed_to_others(server, ask):
    for status, path in ((200, "/"), (404, "/nothing")):
        got, _, headers = ask("GET", path)
        assert got == status
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] is None
        assert headers["Server"].strip() == "cardigan"


def raw(server, text):
    """What comes back of bytes that no browser would send."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        told = b""
        while piece := connection.recv(65536):
            told += piece
    return told


@pytest.mark.parametrize(
    "text", ["", "\r\n\r\n", "GET\r\n\r\n", "\x00\xff" * 40 + "\r\n\r\n", "GET /" + "x" * 70_000 + " HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_does_no_harm(server, ask, text):
    assert b" 200 " not in raw(server, text)
    assert ask("GET", "/")[0] == 200


def test_it_is_bound_to_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32


def test_a_silent_client_stops_nobody(server, ask):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as idle:
        idle.sendall(b"POST /answer HTTP/1.1\r\n")
        assert ask("GET", "/")[0] == 200


def test_a_port_that_is_taken_is_told(server, desk):
    with pytest.raises(CardiganError, match=rf"Port {server.server_port} cannot be had: .*Choose another --port"):
        Server(desk(), port=server.server_port)
    with pytest.raises(CardiganError, match="Port 70000 cannot be had"):
        Server(desk(), port=70000)


def test_an_answer_that_cannot_be_kept_is_told(server, ask, monkeypatch):
    def full(answer):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server.desk.answers, "add", full)
    status, told, _ = ask("POST", "/answer", ANSWER)
    assert status == 500
    assert json.loads(told)["error"].startswith("The answer could not be kept: No space left on device.")
