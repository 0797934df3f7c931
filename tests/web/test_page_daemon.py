#!/usr/bin/env python3
"""The page as the daemon serves it, in headless Chromium: a prompt is typed, the streamed answer read.
The weights are random, so the answer is noise; that it is the daemon's own is what is checked.
"""

import pathlib
import sys

import chromium
from chromium import ENTER, Browser
from test_page import GIVE, IDLE, PNG, ask, shots

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from daemon import TESTS, Daemon  # noqa: E402
from plain_http import Connection  # noqa: E402
from report import Report  # noqa: E402

SAMPLED = {"seed": "7", "max_tokens": "60"}


def own_answer(daemon, model):
    """What the API says to the same request."""
    with Connection(daemon.url) as c:
        status, answer = c.post(
            "/v1/chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": "Name three rivers."}],
                "seed": 7,
                "max_tokens": 60,
            },
        )
    return answer["choices"][0]["message"]["content"]


def main():
    chromium.need()
    report = Report()
    with Daemon(TESTS / "data/goldens/dense/checkpoint") as daemon, Browser() as browser:
        browser.open(daemon.url)
        model = browser.wait("return document.getElementById('model').value")
        browser.click("#gear")
        for name, value in SAMPLED.items():
            browser.type("#" + name, value)
        browser.click("#gear")
        ask(browser, "Name three rivers.", 1)
        shown = browser.run("return turns.at(-1).content")
        report.check(
            "the page shows what the API says",
            shown == own_answer(daemon, model) and browser.text(".text").strip() != "",
            shown,
        )
        report.check("figures", "tokens/s" in browser.text(".figures"), browser.text(".figures"))
        browser.screenshot(shots() / "daemon.png")
        browser.click("#new")
        browser.run(GIVE, PNG, "dot.png", "image/png", "paste")
        browser.wait("return files.length === 1")
        ask(browser, "What is this?", 1)
        n_prompt = browser.run("return turns.at(-1).usage.prompt_tokens")
        report.check(
            "an image goes with a message",
            n_prompt > 64 and not browser.text(".problem p"),
            (n_prompt, browser.text(".problem p")),
        )
        browser.click("#new")
        ask(browser, "Name three rivers.", 1)
        browser.run(
            "document.getElementById('max_tokens').value = 4000; document.getElementById('seed').value = ''"
        )
        browser.type("#prompt", "Go on." + ENTER)
        browser.wait(
            "return document.querySelectorAll('.text').length === 2 && turns.length === 3 && "
            "document.querySelectorAll('.text')[1].innerText.length > 3"
        )
        browser.click("#stop")
        browser.wait(IDLE, 2)
        report.check("stop", browser.text(".figures").endswith("stopped"), browser.text(".figures"))
        browser.run("document.getElementById('tools').value = '[{\"type\": \"function\"}]'")
        ask(browser, "A tool.", 3)
        report.check(
            "errors are the daemon's own",
            "tools[0]" in (browser.text(".problem p") or ""),
            browser.text(".problem"),
        )
        complaints = [c for c in browser.complaints() if "status of 400" not in c]
        report.check("the browser has nothing to complain about", not complaints, complaints)
    report.close()


if __name__ == "__main__":
    main()
