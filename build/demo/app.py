#!/usr/bin/python3
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""An HTTP application of Python's standard library alone. mod_procd starts it with its listening socket as descriptor
0; it answers one request at a time and closes, so that its second process can take the next."""

import hashlib
import html
import http.server
import os
import socket
import time
import urllib.parse

PAGE = """<!DOCTYPE html><title>Python over HTTP</title><link rel=stylesheet href=/style.css>
<h1>Python over HTTP</h1><p>Process {pid}, request {count}.</p>
<p><a href=slow?seconds=3>an answer that takes 3 seconds</a>, <a href=events>lines as they are made</a></p>
<pre>{head}</pre><p><a href=/>back</a></p>
"""


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    count = 0

    def address_string(self):
        # a unix socket has no client address
        return self.headers.get("X-Forwarded-For", "-") if hasattr(self, "headers") else "-"

    def parse_request(self):
        good = super().parse_request()
        self.close_connection = True
        Application.count += 1
        return good

    def answer(self, body, content_type="text/plain; charset=utf-8", status=200):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/":
            head = html.escape(f"{self.requestline}\n{self.headers}")
            self.answer(PAGE.format(pid=os.getpid(), count=self.count, head=head), "text/html; charset=utf-8")
        elif url.path == "/slow":
            seconds = min(60.0, float(query.get("seconds", ["3"])[0]))
            time.sleep(seconds)
            self.answer(f"Process {os.getpid()} answers after {seconds} s.\n")
        elif url.path == "/events":
            self.events()
        else:
            self.answer("There is nothing of this name.\n", status=404)

    do_HEAD = do_GET

    def events(self):
        """A body of unknown length, a chunk at a time."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(1, 11):
            line = f"line {number} of 10 at {time.strftime('%H:%M:%S')}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            time.sleep(0.5)
        self.wfile.write(b"0\r\n\r\n")

    def body(self):
        """The request's body, a piece at a time."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    piece = self.rfile.read(min(size, 65536))
                    if not piece:
                        raise ConnectionError("the body was cut")
                    size -= len(piece)
                    yield piece
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                raise ConnectionError("the body was cut")
            left -= len(piece)
            yield piece

    def do_POST(self):
        size, digest = 0, hashlib.sha256()
        for piece in self.body():
            size += len(piece)
            digest.update(piece)
        self.answer(f"{size} bytes, sha256 {digest.hexdigest()}\n")

    do_PUT = do_POST


class Server(http.server.HTTPServer):
    def __init__(self):
        super().__init__(("", 0), Application, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=os.dup(0))


if __name__ == "__main__":
    Server().serve_forever()
