# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# What WSGI applications do. Served by whatever serves WSGI; run as a program it is a CGI script.
import hashlib
import os
import time

import flask
from werkzeug.middleware.proxy_fix import ProxyFix

app = flask.Flask(__name__)
app.secret_key = b"for the tests"
forwarded = ProxyFix(app, x_for=1, x_proto=1, x_host=1)


def application(environ, start_response):
    # CGI-like protocols say where the application is and who asks. Over HTTP fields say it, and the path is whole.
    if "GATEWAY_INTERFACE" in environ:
        return app(environ, start_response)
    if not environ.get("SCRIPT_NAME"):
        environ.update(SCRIPT_NAME="/app", PATH_INFO=environ["PATH_INFO"].removeprefix("/app"))
    return forwarded(environ, start_response)


@app.route("/where/<path:rest>")
def where(rest):
    r = flask.request
    return flask.jsonify(
        rest=rest, args=r.args.to_dict(), root=r.script_root, path=r.path, url=flask.url_for("where", rest="x", _external=True),
        client=r.remote_addr, secure=r.is_secure, method=r.method, cookies=r.cookies, odd=r.headers.get("X-Odd"),
        proxy=r.headers.get("Proxy"), host=r.host.split(":")[0])


@app.route("/post", methods=["POST", "PUT"])
def post():
    data = flask.request.get_data()
    return f"{len(data)} {hashlib.sha1(data).hexdigest()}"


@app.route("/form", methods=["POST"])
def form():
    files = {k: f"{f.filename} {hashlib.sha1(f.read()).hexdigest()}" for k, f in flask.request.files.items()}
    return flask.jsonify(files=files, form=flask.request.form.to_dict())


@app.route("/unread", methods=["POST"])
def unread():
    return "not read", 413


@app.route("/stream")
def stream():
    seen = flask.request.args["seen"]

    def lines():
        for n in range(1, 6):
            yield f"line {n}\n"
            for _ in range(2000 if n == 1 else 0):  # the rest when the client has seen the first line
                if os.path.exists(seen):
                    break
                time.sleep(0.02)
    return flask.Response(lines(), mimetype="text/plain")


@app.route("/broken")
def broken():
    def lines():
        yield "x" * 100000
        raise RuntimeError("in the middle")
    return flask.Response(lines(), mimetype="text/plain", headers={"Content-Length": "200000"})


@app.route("/file")
def file():
    return flask.send_file(app.config.get("FILE", __file__), conditional=True, etag="abc", max_age=60)


@app.route("/count")
def count():
    flask.session["n"] = flask.session.get("n", 0) + 1
    return str(flask.session["n"])


@app.route("/fields")
def fields():
    r = flask.Response("a body", status=int(flask.request.args.get("status", 200)))
    r.set_cookie("a", "1")
    r.set_cookie("b", "2", httponly=True)
    r.headers["X-Long"] = "y" * 5000
    return r


@app.route("/go")
def go():
    return flask.redirect(flask.url_for("count"))


@app.route("/fail")
def fail():
    raise RuntimeError("on purpose")


if __name__ == "__main__":
    from wsgiref.handlers import CGIHandler
    CGIHandler().run(application)
