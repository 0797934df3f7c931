"""Requests to the daemon's HTTP side with the standard library alone."""

import http.client
import json
import time
import urllib.parse


class Connection:
    """One kept-alive connection. with Connection(daemon.url) as c: c.post("/v1/...", {...})"""

    def __init__(self, url, key=None):
        self.http = http.client.HTTPConnection(urllib.parse.urlparse(url).netloc, timeout=300)
        self.headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def post(self, path, body):
        """(status, parsed answer). body: bytes are sent as they are."""
        self.http.request(
            "POST", path, body if isinstance(body, bytes) else json.dumps(body), self.headers
        )
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read())

    def stream(self, path, body):
        """(seconds, chunk) of an SSE answer, as they come."""
        self.http.request("POST", path, json.dumps({**body, "stream": True}), self.headers)
        answer = self.http.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read()[:500]}")
        ended = False
        while line := answer.readline():
            now = time.perf_counter()
            if line.startswith(b"data: [DONE]"):
                ended = True
            elif line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                if "error" in chunk:
                    raise RuntimeError(chunk["error"])
                yield now, chunk
        if not ended:
            raise RuntimeError("the stream ended early")
