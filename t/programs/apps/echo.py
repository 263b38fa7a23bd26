# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# Says all that it was told, a NAME=value line each. What the query's words choose: status=N, header=N:V, body=TEXT.
from http import HTTPStatus
from urllib.parse import unquote


def application(environ, start_response):
    status, fields, body = "200 OK", [("Content-Type", "text/plain")], None
    for word in environ.get("QUERY_STRING", "").split("&"):
        name, _, value = word.partition("=")
        value = unquote(value)
        if name == "status":
            status = f"{value} {HTTPStatus(int(value)).phrase}"
        elif name == "header":
            fields.append(tuple(value.split(":", 1)))
        elif name == "body":
            body = value
    if body is None:
        read = len(environ["wsgi.input"].read())
        body = f"body={read}\n" + "".join(f"{k}={v}\n" for k, v in sorted(environ.items()) if k[0].isupper())
    start_response(status, fields + [("Content-Length", str(len(body)))])
    return [body.encode("utf-8", "surrogateescape")]
