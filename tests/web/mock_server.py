"""A stand-in for the daemon's HTTP side: serves the page, and answers by what the prompt asks for.
For what random weights never say: thoughts, tool calls, Markdown, markup that wants to run, failures
in the middle."""

import http.server
import json
import pathlib
import threading
import time

PAGE = pathlib.Path(__file__).parents[2] / "gateway/web/index.html"
KEY = "sk-test"
MARKDOWN = """The sky looks blue because air scatters **short waves** more than long ones.

## Rayleigh scattering
- The strength grows with *1/λ⁴*, so blue light is scattered about 5.5 times as much as red.
- At sunset the path is long and most of the blue is gone.

1. Light enters the air
2. It meets molecules much smaller than its wavelength:
   ```
   size < wavelength / 10
   ```
3. It leaves in all directions

| colour | wavelength | scattered |
|---|---|---|
| blue | 450 nm | 5.5 |
| red | 690 nm | 1 |

```python
def strength(wavelength_nm, reference_nm=690):
    return (reference_nm / wavelength_nm) ** 4   # 5.5 for blue
```
> A violet sky would be brighter still, but the eye sees `blue` better.
"""
HOSTILE = (
    "<script>window.broken = 1</script> <img src=x onerror='window.broken = 2'> "
    "[click](javascript:window.broken=3) **<b onclick=1>bold</b>** `<i>`\n\n"
    "```html\n<script>window.broken = 4</script>\n```"
)


def content(text):
    return [{"content": text[i : i + 6]} for i in range(0, len(text), 6)]


def thought(text):
    return [{"reasoning_content": text[i : i + 6]} for i in range(0, len(text), 6)]


def tool_call(index, name, arguments):
    return [
        {
            "tool_calls": [
                {
                    "index": index,
                    "id": f"call_{index:024x}",
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": index, "function": {"arguments": json.dumps(arguments)}}]},
    ]


def answer_to(body):
    """Deltas and the reason to finish."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return content(f"The tool said {last['content']}."), "stop"
    if "weather" in last["content"]:
        return (
            thought("They want the weather, so I call the tool.")
            + tool_call(0, "get_weather", {"city": "Tromsø", "days": 3, "units": {"wind": "m/s"}})
            + tool_call(1, "get_time", {"zone": "Europe/Oslo"})
        ), "tool_calls"
    if "hostile" in last["content"]:
        return content(HOSTILE), "stop"
    thinking = body["chat_template_kwargs"]["enable_thinking"]
    return (
        thought(
            "Short waves scatter more. I should mention sunsets, and keep it short.\n"
            "The eye matters too: violet is scattered even more."
        )
        if thinking
        else []
    ) + content(MARKDOWN), "stop"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status, message, **more):
        self._send(
            status,
            "application/json",
            json.dumps({"error": {"message": message, "code": status, **more}}).encode(),
        )

    def _refused(self):
        if not self.server.needs_key or self.headers.get("Authorization") == f"Bearer {KEY}":
            return False
        self._fail(401, "Incorrect API key provided.", type="invalid_request_error")
        return True

    def do_GET(self):
        if self.path == "/":
            self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path == "/v1/models" and not self._refused():
            self._send(
                200,
                "application/json",
                json.dumps(
                    {"object": "list", "data": [{"id": "gemma-4-mock", "object": "model"}]}
                ).encode(),
            )

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if self._refused():
            return
        if body.get("temperature") == 1.25:
            self._fail(
                400,
                "temperature=1.25: this server is tired",
                type="invalid_request_error",
                param="temperature",
            )
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self._stream(body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.disconnected.set()

    def _event(self, **chunk):
        self.wfile.write(
            b"data: " + json.dumps({"object": "chat.completion.chunk", **chunk}).encode() + b"\n\n"
        )
        self.wfile.flush()

    def _delta(self, delta, finish=None):
        self._event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])

    def _stream(self, body):
        said = str(body["messages"][-1]["content"])
        self._delta({"role": "assistant", "content": ""})
        while "endless" in said:
            self._delta({"content": "and so on "})
            time.sleep(0.01)
        deltas, finish = answer_to(body)
        for i, delta in enumerate(deltas):
            if i == 8 and "cut" in said:
                return
            if i == 8 and "break" in said:
                self._event(error={"message": "a worker died", "type": "server_error", "code": 503})
                return
            self._delta(delta)
            time.sleep(0.004)
        self._delta({}, finish)
        n_thought = sum("reasoning_content" in d for d in deltas)
        self._event(
            choices=[],
            usage={
                "prompt_tokens": 9,
                "completion_tokens": len(deltas),
                "total_tokens": 9 + len(deltas),
                "completion_tokens_details": {"reasoning_tokens": n_thought},
            },
        )
        self.wfile.write(b"data: [DONE]\n\n")


class MockServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, needs_key=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.needs_key = needs_key
        self.bodies = []  # of the requests that came
        self.disconnected = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()
