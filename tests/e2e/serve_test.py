#!/usr/bin/env python3
"""`resnet serve`: the answers of `resnet predict`, whatever else is asked at the same time, and whatever is sent to it."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

from program import HERE, PROGRAM, SOURCE, png, put, put_small_idx, run, sanitized

put_small_idx("idx")
run("train", "--data", "idx:idx", "--resize", "32", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "4", "--epochs", "1",
    "--quiet", "--out", "run")
PICTURES = [png(random.Random(i).randbytes(side * side * 3), side, side) for i, side in enumerate((40, 32, 57, 20, 33, 40, 64, 31))]
for i, picture in enumerate(PICTURES):
    put(f"{i}.png", picture)
NAMES = [f"{i}.png" for i in range(len(PICTURES))]


class Server:
    """The program, serving."""

    def __init__(self, *flags):
        self.process = subprocess.Popen([PROGRAM, "serve", "run", "--port", "0", *flags], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        self.host, port = re.search(r" at http://(.*):(\d+); Ctrl-C ends it", line).groups()
        self.port = int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            assert self.end() == 143

    def end(self, by=signal.SIGTERM):
        self.process.send_signal(by)
        return self.process.wait(timeout=60)

    def ask(self, method, path, body=None, **fields):
        """Status, fields and body of a response, by a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.headers, content

    def open(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def raw(self, *parts):
        """All that comes back for these bytes, until the server closes the connection."""
        with self.open() as s:
            for part in parts:
                try:
                    s.sendall(part)
                except OSError:  # it has heard enough
                    break
            return all_of(s)

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2].decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


def all_of(s):
    got = b""
    try:
        while part := s.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    return got


def form(names, boundary="----limit"):
    body = b""
    for name in names:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="p"; filename="{name}"\r\n'.encode()
        body += b"Content-Type: image/png\r\n\r\n" + pathlib.Path(name).read_bytes() + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def statuses(got):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d\d\d) ", got)]


# The answers of `predict`, byte for byte: of a picture by itself, as such and in a form; and of eight, each of which went
# through the network by itself or with others, to the bits of one of the batch sizes.
mirrored = random.Random("mirror").randbytes(32 * 32)
MIRROR = [png(pixels, 32, 32) for pixels in (mirrored, b"".join(mirrored[y:y + 32][::-1] for y in range(0, 32 * 32, 32)))]
for flags, same in (["--tta", "flip"], True), ([], False):
    with Server(*flags) as server:
        top = [json.loads(server.ask("POST", "/predict", picture)[2])[0]["top"] for picture in MIRROR]
    assert (top[0] == top[1]) == same, (flags, top)
with Server("--top", "2") as server:  # the page asks for what the server gives
    page = server.ask("GET", "/")[2].decode()
    path = re.search(r"fetch\('([^']*)'", page)[1]
    assert len(json.loads(server.ask("POST", path, PICTURES[0])[2])[0]["top"]) == 2, path
BATCHES = [run("predict", "run", *NAMES, "--batch-size", size, "--json", "--top", "5").stdout.splitlines() for size in (1, 2, 4, 8)]
with Server() as server:
    for name, picture in zip(NAMES, PICTURES):
        status, fields, body = server.ask("POST", "/predict", picture)
        expected = run("predict", "run", "-", "--json", "--top", "5", data=picture).stdout
        assert (status, body.decode()) == (200, expected), (name, body, expected)
        assert fields["Content-Type"] == "application/json", fields
        body, kind = form([name])
        status, _, body = server.ask("POST", "/predict?top=2", body, Content_Type=kind)
        assert (status, body.decode()) == (200, run("predict", "run", name, "--json", "--top", "2").stdout), body
    for name, content in (("text.png", b"no picture"), ("cut.png", PICTURES[0][:400]), ("thin.png", png(bytes(30000), 30000, 1))):
        put(name, content)
        body, kind = form([name])
        expected = run("predict", "run", name, "--json", code=1).stdout
        assert server.ask("POST", "/predict", body, Content_Type=kind)[::2] == (422, expected.encode()), expected
        expected = run("predict", "run", "-", "--json", code=1, data=content).stdout
        assert server.ask("POST", "/predict", content)[::2] == (422, expected.encode()), expected
    body, kind = form(NAMES)
    lines = server.ask("POST", "/predict", body, Content_Type=kind)[2].decode().splitlines()
    for line, *expected in zip(lines, *BATCHES, strict=True):
        assert line in expected, (line, expected)

    # What is no picture has its error beside the others' answers; where there is no answer at all the status says so.
    put("text.png", b"no picture")
    body, kind = form(["0.png", "text.png"])
    status, _, body = server.ask("POST", "/predict", body, Content_Type=kind)
    answers = json.loads(body)
    assert status == 200 and answers[0]["label"] and "error" in answers[1] and answers[1]["file"] == "text.png", answers
    status, _, body = server.ask("POST", "/predict", b"no picture")
    assert status == 422 and "error" in json.loads(body)[0], body
    assert server.ask("POST", "/predict", b"")[0] == 400
    assert server.ask("POST", "/predict", PICTURES[0][:-30])[0] == 422
    for top, status in (("1", 200), ("3", 200), ("1000", 200), ("0", 400), ("-1", 400), ("x", 400), ("", 400), ("99999999999999999999", 400)):
        assert server.ask("POST", f"/predict?top={top}", PICTURES[0])[0] == status, top

    # The commands of docs/serve.md.
    shown = re.findall(r"^    (curl .+)$", (SOURCE / "docs/serve.md").read_text(), re.MULTILINE)
    assert len(shown) == 2, shown
    for name in ("photo.jpg", "one.jpg", "two.png"):
        put(name, PICTURES[0])
    if not shutil.which("curl"):
        print("no curl here: the commands of docs/serve.md were not tried")
        shown = []
    for command in shown:
        said = subprocess.run(["sh", "-c", command.replace(":8000", f":{server.port}")], capture_output=True, text=True, check=True,
                              env={**os.environ, "no_proxy": "*"}).stdout
        assert all("label" in answer for answer in json.loads(said)), (command, said)

    # The other paths.
    status, fields, body = server.ask("GET", "/")
    assert status == 200 and fields["Content-Type"].startswith("text/html") and b"<title>run</title>" in body
    assert "default-src 'none'" in fields["Content-Security-Policy"] and b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert server.ask("HEAD", "/")[1]["Content-Length"] == str(len(body)) and server.ask("HEAD", "/")[2] == b""
    status, _, body = server.ask("GET", "/health")
    assert status == 200 and json.loads(body)["status"] == "ok" and json.loads(body)["classes"] == 3, body
    assert server.metric('resnet_requests_total{path="/health",status="200"}') == 1
    assert server.metric("resnet_pictures_waiting") == 0
    assert server.ask("GET", "/nothing")[0] == 404
    for method, path, allow in (("GET", "/predict", "POST"), ("DELETE", "/predict", "POST"), ("POST", "/", "GET, HEAD"),
                                ("OPTIONS", "/health", "GET, HEAD"), ("BREW", "/metrics", "GET, HEAD")):
        status, fields, _ = server.ask(method, path)
        assert (status, fields["Allow"]) == (405, allow), (method, path)

    # A name that leads here without being this machine's (DNS rebinding), and pages of others.
    for host, status in (("localhost", 200), ("LOCALHOST:1", 200), ("127.0.0.1:80", 200), ("127.1.2.3", 200), ("[::1]:8000", 200),
                         ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil.example:80", 421), ("[::2]", 421)):
        assert server.ask("GET", "/health", Host=host)[0] == status, host
    own = f"http://127.0.0.1:{server.port}"
    for origin, status in ((own, 200), ("null", 403), ("https://evil.example", 403), (f"http://localhost:{server.port}", 403)):
        assert server.ask("POST", "/predict", PICTURES[0], Origin=origin)[0] == status, origin

    # Chunks, requests behind one another, a client that asks whether to go on, and one that says it all at once.
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in (PICTURES[0][:7], PICTURES[0][7:300], PICTURES[0][300:]))
    request = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    got = server.raw(request + request + b"\r\n" + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20 + last)
    assert statuses(got) == [200] * 23, got[:500]
    expected = run("predict", "run", "-", "--json", "--top", "5", data=PICTURES[0]).stdout.encode()
    assert got.count(expected) == 2 and got.index(expected) < got.index(b"<!DOCTYPE") < got.index(b'"status"')
    slowly = server.raw(*(request[i:i + 1] for i in range(120)), request[120:] + last)
    assert statuses(slowly) == [200, 200] and expected in slowly
    with server.open() as s:
        s.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(PICTURES[0]))
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(PICTURES[0])
        assert s.recv(65536).endswith(expected)
    assert statuses(server.raw(b"GET /health HTTP/1.0\r\n\r\n")) == [200]
    assert statuses(server.raw(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2 + last)) == [200] * 3
    assert statuses(server.raw(b"GET http://localhost:1/health?x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")) == [200]

    # A client that has left: its answer is nobody's, and the server goes on.
    for size in (10, 200, len(PICTURES[6]) // 2, None):
        for _ in range(10):
            with server.open() as s:
                request = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(PICTURES[6]) + PICTURES[6]
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
                s.sendall(request[:size])

    # Requests that are none, or not ours: each ends in its status and, soon, in a closed connection.
    host = b"Host: localhost\r\n"
    post = b"POST /predict HTTP/1.1\r\n" + host
    malformed = [
        (400, b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03"), (400, b"\0" * 100), (400, b"GET\n"), (400, b"GET / HTTP/1.1\nHost: x\n\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"), (400, b"\r\n\r\n\r\n\r\nGET /\r\n\r\n"), (400, b" GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / \r\n\r\n"), (400, b"GET  HTTP/1.1\r\n\r\n"), (400, b"GET\r\n\r\n"), (400, b"/ HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1 \r\n" + host + b"\r\n"), (400, b"GET / HTTP/11\r\n\r\n"), (400, b"GET / http/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1x\r\n\r\n"), (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (505, b"GET / HTTP/3.0\r\n\r\n"), (505, b"GET / HTTP/0.9\r\n\r\n"),
        (400, b"G\xc3\x84T / HTTP/1.1\r\n" + host + b"\r\n"), (400, b"GET /\xc3\xa4 HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET x HTTP/1.1\r\n" + host + b"\r\n"), (400, b"CONNECT localhost:80 HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host * 2 + b"\r\n"), (400, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b" folded: x\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + b"name\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b": x\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + b"a b: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"a: \x01\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + b"a: \x7f\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"a\0: x\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + host + b"a: b\r\n" * 200 + b"\r\n"), (431, b"GET / HTTP/1.1\r\n" + host + b"a: " + b"x" * 20000 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + host + b"x" * 1000000), (414, b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + host + b"\r\n"),
        (414, b"GET /" + b"x" * 1000000), (411, post + b"\r\n"),
        (400, post + b"Content-Length: -1\r\n\r\n"), (400, post + b"Content-Length: +1\r\n\r\nx"), (400, post + b"Content-Length: 1x\r\n\r\nx"),
        (400, post + b"Content-Length: 0x1\r\n\r\nx"), (400, post + b"Content-Length: \r\n\r\n"), (400, post + b"Content-Length: 1 1\r\n\r\nx"),
        (400, post + b"Content-Length: 1, 1\r\n\r\nx"), (400, post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        (413, post + b"Content-Length: 9999999999\r\n\r\nx"), (413, post + b"Content-Length: 99999999999999999999999999\r\n\r\nx"),
        (413, post + b"Content-Length: 33554433\r\n\r\n" + b"x" * 5000000),
        (400, post + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"POST /predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), (501, post + b"Transfer-Encoding: gzip\r\n\r\n"),
        (501, post + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), (501, post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (501, post + b"Transfer-Encoding: \r\n\r\n"), (417, post + b"Content-Length: 1\r\nExpect: pony\r\n\r\nx"),
        (415, post + b"Connection: close\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx"),
    ]
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    malformed += [(status, chunked + chunk) for status, chunk in (
        (400, b"x\r\n"), (400, b"\r\n"), (400, b"-1\r\n"), (400, b"0x1\r\nx\r\n"), (400, b"1\nx"), (400, b"1\r\nxx\r\n"), (400, b"1\r\nx0\r\n\r\n"),
        (413, b"fffffffffffffff\r\n"), (413, b"ffffffffffffffffffff\r\n"), (413, b"2000001\r\n"), (400, b"1;" + b"x" * 1000), (400, b"0" * 1000),
        (400, b"1;\x01\r\nx\r\n"), (400, b"0\r\n" + b"a: b\r\n" * 20000 + b"\r\n"), (400, b"1\r\nx\r\n" * 20000))]
    for kind, body in (("multipart/form-data", b"x"), ("multipart/form-data; boundary=", b"x"), ("multipart/form-data; boundary=" + "x" * 71, b"x"),
                       ("multipart/form-data; boundary=b", b"x"), ("multipart/form-data; boundary=b", b"--b"), ("multipart/form-data; boundary=b", b"--b--"),
                       ("multipart/form-data; boundary=b", b"--b\r\n"), ("multipart/form-data; boundary=b", b"--b\r\n\r\n--b--"),
                       ("multipart/form-data; boundary=b", b"--b\r\nx\r\n\r\ny\r\n--b--"), ("multipart/form-data; boundary=b", b"\r" * 100000),
                       ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; filename="x\r\n\r\ny\r\n--b'),
                       ("multipart/form-data; boundary=b", b"--b\r\n" + b"x" * 10000 + b"\r\n\r\ny\r\n--b--"),
                       ('Multipart/Form-Data ; boundary="b', b"--b--"), ("multipart/form-data; boundary", b"x"), ("multipart/form-data;;=;boundary=\"\"", b"x")):
        malformed.append((400, post + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body))
    parts = b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\n\r\n" * 65 + b"--b--"
    malformed.append((413, post + b"Connection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(parts) + parts))
    noise = random.Random(3)
    malformed += [(400, bytes([noise.choice(b"\0\1\x80\xff\n\t {")]) + noise.randbytes(noise.randrange(1, 3000))) for _ in range(20)]
    assert len(malformed) >= 100, len(malformed)
    begin = time.monotonic()
    for status, request in malformed:
        got = server.raw(request, b"\r\n\r\n")
        assert statuses(got) == [status], (status, request[:200], got[:300])
        assert b'{"error":' in got, got
    assert time.monotonic() - begin < 30, "each is refused at once"
    for _ in range(100):
        if server.metric("resnet_pictures_waiting") == 0:
            break
        time.sleep(0.05)
    assert server.metric("resnet_pictures_waiting") == 0 and server.metric("resnet_connections") <= 2

    # Many at once, over connections that stay open: every answer is its picture's.
    def talk(number):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for i in range(20):
            at = (number + i) % len(PICTURES)
            connection.request("POST", "/predict", PICTURES[at])
            response = connection.getresponse()
            answer = json.loads(response.read())[0]
            assert response.status == 200, response.status
            expected = [json.loads(lines[1 + at].rstrip(","))["top"] for lines in BATCHES]
            assert answer["top"] in expected, (answer, expected)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(talk, range(32)))
    before = server.metric("process_resident_memory_bytes")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(32)))
    grown = server.metric("process_resident_memory_bytes") - before
    assert grown < 4e6 or sanitized(), f"memory grows with the requests: {grown}"  # a sanitizer keeps what is freed
    assert server.end(signal.SIGINT) == 130

# Clients that are slow: 408 where a request has begun, and nothing more where none has.
with Server("--max-body", "1K") as server:
    assert len(PICTURES[0]) > 1024 and server.ask("POST", "/predict", PICTURES[0])[0] == 413
    assert server.ask("POST", "/predict", PICTURES[0][:1000])[0] == 422

with Server("--timeout", "1s") as server:
    begin = time.monotonic()
    with server.open() as silent, server.open() as head, server.open() as body, server.open() as drops:
        head.sendall(b"GET / HTT")
        body.sendall(post + b"Content-Length: 1000\r\n\r\nabc")
        drops.sendall(b"G")
        for letter in b"ET / HTTP/1.1\r\nHost: ":
            time.sleep(0.05)
            drops.sendall(bytes([letter]))
        assert all_of(silent) == b""
        for slow in (head, body, drops):
            assert statuses(all_of(slow)) == [408]
    assert 1 <= time.monotonic() - begin < 6, "in time"

# More than it takes: refused with the time to come again, and nothing is lost. A connection too many waits for its turn, or
# takes that of one that is idle.
with Server("--waiting", "2", "--connections", "8") as server:
    def hammer(_):
        found = set()
        for _ in range(30):
            status, fields, _ = server.ask("POST", "/predict", PICTURES[6])
            assert status == 200 or (status == 503 and fields["Retry-After"] == "1"), status
            found.add(status)
        return found
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = set().union(*pool.map(hammer, range(16)))
    assert found == {200, 503}, found
    idle = [server.open() for _ in range(8)]
    assert server.ask("GET", "/health")[0] == 200
    for s in idle:
        s.close()

# SIGTERM under load: who has got through to it has an answer, and the port is free at once.
with Server() as server:
    refused, answered = [], []

    def until_refused(_):
        while True:
            try:
                s = server.open()
            except OSError:
                return refused.append(1)
            with s:
                s.sendall(post + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(PICTURES[6]) + PICTURES[6])
                got = all_of(s)
                assert statuses(got) == [200] and got.endswith(b"\n]\n"), got
                answered.append(1)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        work = [pool.submit(until_refused, n) for n in range(16)]
        while len(answered) <= 16 and not any(done.done() for done in work):
            time.sleep(0.01)
        assert server.end() == 143
        for done in work:
            done.result()
    assert len(refused) == 16 and len(answered) > 16, (len(refused), len(answered))

# A second signal ends it whatever is under way.
with Server() as server, server.open() as s:
    s.sendall(post + b"Content-Length: 1000\r\n\r\nabc")
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert server.process.poll() is None, "it waits for a request that has begun"
    assert server.end() == -signal.SIGTERM

# Who read where it serves has left.
with Server() as server:
    server.process.stderr.close()
    assert server.ask("POST", "/predict", PICTURES[0])[0] == 200
    assert server.end() == 143

# Without free descriptors the connection that has been idle longest gives way.
if sanitized():
    print("not run without descriptors: the undefined-behaviour sanitizer looks at memory through a pipe of its own")
else:
    with Server("--connections", "1000") as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (32, 32))
        idle = [server.open() for _ in range(40)]
        time.sleep(1.5)
        begin = time.monotonic()
        assert server.ask("GET", "/health")[0] == 200 and time.monotonic() - begin < 20
        for s in idle:
            s.close()

# What cannot be served.
with Server() as server:
    taken = run("serve", "run", "--port", server.port, code=1, says=f"cannot listen at 127.0.0.1 port {server.port}: ").stderr
    assert "port 0 takes one that is free" in taken, taken
run("serve", "run", "--port", "0", "--host", "example.org", code=2, says="'example.org' is no address")
run("serve", "run", "--port", "0", "--host", "203.0.113.1", code=1, says="give an address of this machine")
run("serve", "run", "--port", "65536", code=2, says="--port cannot be '65536'")
run("serve", "nothing", code=1, says="there is no file or folder")
