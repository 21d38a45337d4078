"""A web server on the loopback address that offers presets the way real servers do."""

import http.server
import json
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, urllib.parse.unquote(self.path.partition("?")[0])
        span = self.headers.get("Range")
        server.asked.append((self.command, path, span))
        if path not in server.pages:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole, headers = server.pages[path]
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        body = whole[start:]
        self.send_response((206 if body else 416) if span else 200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.send(path, body)

    do_HEAD = do_GET

    def send(self, path, body):
        end = self.server.cuts.pop(path, len(body))
        if path in self.server.gates:
            reached, go_on = self.server.gates[path]
            self.wfile.write(body[: end // 2])
            reached.set()
            go_on.wait(60)
            body = body[end // 2 :]
        self.wfile.write(body[:end])
        self.close_connection = end < len(body)

    def do_POST(self):
        """Answers the Hub's client, which uploads files in three requests."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(("POST", self.path, None))
        if self.path.endswith("/commit/main"):
            self.server.committed += [json.loads(line) for line in body.splitlines()]
        told = json.loads(body) if "preupload" in self.path else {"files": []}
        plan = [{**f, "uploadMode": "regular", "shouldIgnore": False} for f in told["files"]]
        answer = {"url": f"{self.server.url}/u/r", "name": "r", "id": "u/r", "files": plan}
        answer |= {"commitUrl": f"{self.server.url}/u/r/commit/1", "commitOid": "1" * 40}
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Offers pages; cuts replies short as `cuts` says, and pauses halfway in those in `gates`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages, self.cuts, self.gates = {}, {}, {}
        self.asked, self.committed = [], []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, folder, place="preset"):
        for path in folder.iterdir():
            self.page(f"/{place}/{path.name}", path.read_bytes())
        return f"{self.url}/{place}"

    def page(self, path, body, **headers):
        self.pages[path] = (body, headers)
        return self.url + path

    def count(self, path):
        return sum(asked == path for _, asked, _ in self.asked)

    def stop(self):
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join()
            self.server_close()

    def handle_error(self, *args):  # Clients that were killed cause errors.
        pass
