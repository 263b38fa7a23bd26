# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""A WSGI application of `make run`: one text, by whichever protocol uWSGI was asked over."""
import os


def application(environ, start_response):
    length = len(environ["wsgi.input"].read())
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "REMOTE_ADDR")
    lines = ["A WSGI application in process %d, behind %s" % (os.getpid(), os.environ.get("SPOKEN", "?")), ""]
    lines += ["%s=%s" % (name, environ.get(name, "")) for name in names]
    lines += ["%d bytes of body" % length, ""]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["\n".join(lines).encode()]
