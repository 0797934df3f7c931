"""A headless Chromium, driven through Debian's chromedriver with the W3C WebDriver protocol: plain
HTTP and JSON, so nothing but the standard library is needed."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, SHIFT, ESCAPE, RELEASE = "\ue007", "\ue008", "\ue00c", "\ue000"


def need():
    """Skips the test where there is no browser."""
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            print(f"skipped: no {program}; tools/setup --tests installs it")
            sys.exit(77)


class Browser:
    """with Browser() as b: b.open(url); b.type("#prompt", "Hello")"""

    def __init__(self, dark=False, size=(1180, 860)):
        self.home = tempfile.TemporaryDirectory(prefix="gemmad-chromium-")
        environment = {
            **os.environ,
            "HOME": self.home.name,
            "XDG_CONFIG_HOME": self.home.name,
            "XDG_CACHE_HOME": self.home.name,
        }
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("chromedriver did not start")
        self.session = f"http://127.0.0.1:{found[1]}/session"
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={self.home.name}/profile",
            f"--window-size={size[0]},{size[1]}",
        ]
        arguments += ["--force-dark-mode"] if dark else []
        made = self._call(
            "POST",
            "",
            {
                "capabilities": {
                    "alwaysMatch": {
                        "browserName": "chrome",
                        "goog:chromeOptions": {
                            "binary": shutil.which("chromium"),
                            "args": arguments,
                        },
                        "goog:loggingPrefs": {"browser": "ALL"},
                    }
                }
            },
        )
        self.session += "/" + made["sessionId"]

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.session + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(30)
            self.driver.stdout.close()
            self.home.cleanup()

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """The value of a function body run in the page."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def _element(self, selector):
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, selector, text):
        self._call("POST", f"/element/{self._element(selector)}/value", {"text": text})

    def click(self, selector):
        self._call("POST", f"/element/{self._element(selector)}/click", {})

    def text(self, selector):
        """What a reader sees of the last element that matches, or None."""
        return self.run(
            "const all = document.querySelectorAll(arguments[0]);"
            "return all.length ? all[all.length - 1].innerText : null",
            selector,
        )

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def wait(self, script, *arguments, seconds=60):
        """Until the function body gives something true, which is returned."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script, *arguments)
            if value:
                return value
            time.sleep(0.02)
        raise RuntimeError(f"after {seconds} s still not: {script}")

    def complaints(self):
        """What the browser logged since the last call: script errors, breaches of the policy."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("GET", "/screenshot")))
