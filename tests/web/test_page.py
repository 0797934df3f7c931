#!/usr/bin/env python3
"""The chat page in headless Chromium, against a server that says what random weights never would.
Screenshots go to screenshots/ in the build folder."""

import os
import pathlib
import sys

import chromium
from chromium import ENTER, ESCAPE, RELEASE, SHIFT, Browser
from mock_server import KEY, MockServer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from report import Report  # noqa: E402

IDLE = "return !document.querySelector('.busy') && document.querySelectorAll('.answer').length === arguments[0]"


def shots():
    folder = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", ".")) / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder


def ask(browser, text, n_answers):
    browser.type("#prompt", text + ENTER)
    browser.wait(IDLE, n_answers)


def answers(report, browser, server):
    """A streamed answer with folded thoughts, in Markdown, with its figures."""
    browser.click(".row label")  # thinking on
    browser.type("#prompt", "Why is the sky" + SHIFT + ENTER + RELEASE + "blue?" + ENTER)
    seen = browser.wait("const t = document.querySelector('.text'); return t && t.innerText.length")
    browser.wait(IDLE, 1)
    whole = browser.run("return document.querySelector('.text').innerText.length")
    report.check("the answer streams", 0 < seen < whole, (seen, whole))
    sent = server.bodies[-1]
    report.check(
        "Shift Enter begins a line",
        sent["messages"][-1]["content"] == "Why is the sky\nblue?",
        sent,
    )
    report.check(
        "the request",
        sent["stream"]
        and sent["stream_options"] == {"include_usage": True}
        and sent["chat_template_kwargs"] == {"enable_thinking": True}
        and "temperature" not in sent
        and sent["model"] == "gemma-4-mock",
        sent,
    )
    report.check(
        "thoughts are folded",
        browser.run("const d = document.querySelector('.thinking'); return !d.open && !d.hidden"),
    )
    label = browser.text(".thinking summary")
    report.check(
        "thoughts have a duration",
        label.startswith("Thought for ") and label.endswith(" tokens"),
        label,
    )
    browser.click(".thinking summary")
    report.check("thoughts unfold", "violet is scattered" in browser.text(".thinking div"))
    browser.click(".thinking summary")
    shape = browser.run(
        "return [...document.querySelector('.text').children].map(e => e.tagName).join(' ')"
    )
    report.check("Markdown", shape == "P H3 UL OL DIV OL TABLE DIV BLOCKQUOTE", shape)
    report.check(
        "code is kept to the letter",
        browser.text("pre code").endswith("** 4   # 5.5 for blue")
        and browser.run("return document.querySelector('pre code').textContent")
        == "size < wavelength / 10",
    )
    figures = browser.text(".figures")
    report.check(
        "figures", all(w in figures for w in ("first token", "tokens/s", " tokens ")), figures
    )


def again(report, browser, server):
    n = len(server.bodies)
    browser.click(".again")
    browser.wait(IDLE, 1)
    report.check(
        "regenerate asks the same again",
        len(server.bodies) == n + 1 and server.bodies[n] == server.bodies[n - 1],
    )
    browser.click(".answer footer button")
    browser.wait("return document.querySelector('.answer footer button').textContent === 'Copied'")


def tools(report, browser, server):
    """Calls are shown, and their results sent back."""
    ask(browser, "What is the weather in Tromsø?", 2)
    names = browser.run("return [...document.querySelectorAll('.call h3')].map(e => e.innerText)")
    report.check("tool calls by name", names == ["Calls get_weather", "Calls get_time"], names)
    shown = browser.run("return document.querySelector('.call pre').innerText")
    report.check(
        "pretty arguments",
        shown == '{\n  "city": "Tromsø",\n  "days": 3,\n  "units": {\n    "wind": "m/s"\n  }\n}',
        shown,
    )
    browser.screenshot(shots() / "tools.png")
    browser.type(".call textarea", "light snow")
    browser.type(".call:last-child textarea", "noon")
    browser.run(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'Send results').click()"
    )
    browser.wait(IDLE, 3)
    roles = [m["role"] for m in server.bodies[-1]["messages"]]
    report.check(
        "results go back",
        roles[-3:] == ["assistant", "tool", "tool"]
        and browser.text(".text") == "The tool said noon.",
        (roles, browser.text(".text")),
    )


def settings(report, browser, server):
    browser.click("#gear")
    browser.type("#system", "Be brief.")
    for name, value in (
        ("temperature", "0.5"),
        ("top_p", "0.9"),
        ("top_k", "40"),
        ("max_tokens", "64"),
        ("seed", "7"),
    ):
        browser.type("#" + name, value)
    browser.type("#tools", '[{"type": "function", "function": {"name": "f"}}]')
    browser.click("#new")
    ask(browser, "Hello", 1)
    sent = server.bodies[-1]
    wanted = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_tokens": 64, "seed": 7}
    report.check(
        "controls reach the request",
        wanted.items() <= sent.items()
        and sent["tools"][0]["function"]["name"] == "f"
        and sent["messages"]
        == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        sent,
    )
    browser.run("document.getElementById('temperature').value = 3")
    n = len(server.bodies)
    ask(browser, "Too hot", 2)
    report.check(
        "a value out of range is not sent",
        len(server.bodies) == n and browser.text(".problem p") == "Temperature: out of range.",
        browser.text(".problem"),
    )
    browser.run("document.getElementById('temperature').value = 1.25")
    browser.click(".problem + footer .again")
    browser.wait(IDLE, 2)
    report.check(
        "an error is shown as the server words it",
        browser.text(".problem").split("\n\n")
        == [
            "temperature=1.25: this server is tired",
            "HTTP 400 · invalid_request_error · temperature",
        ],
        browser.text(".problem"),
    )
    browser.screenshot(shots() / "settings.png")
    browser.run("document.getElementById('temperature').value = ''")
    browser.run("document.getElementById('tools').value = ''")
    browser.click("#gear")


def failures(report, browser, server):
    browser.click("#new")
    ask(browser, "break in the middle", 1)
    report.check(
        "an error inside a stream",
        browser.text(".problem p") == "a worker died"
        and browser.text(".thinking summary") is not None,
        browser.text(".problem"),
    )
    ask(browser, "cut the line", 2)
    report.check(
        "a stream that just ends",
        "ended before" in browser.text(".problem p"),
        browser.text(".problem"),
    )
    for stop in (lambda: browser.click("#stop"), lambda: browser.type("#prompt", ESCAPE)):
        browser.click("#new")
        server.disconnected.clear()
        browser.type("#prompt", "an endless answer" + ENTER)
        browser.wait("return document.querySelector('.text')?.innerText.length > 20")
        stop()
        browser.wait(IDLE, 1)
        report.check(
            "stop ends the request",
            server.disconnected.wait(20) and browser.text(".figures").endswith("stopped"),
            browser.text(".figures"),
        )
    browser.type("#prompt", "an endless answer" + ENTER)
    browser.wait("return document.querySelectorAll('.answer').length === 2")
    browser.click("#new")
    ask(browser, "Hello", 1)
    report.check(
        "a new chat leaves a running answer behind",
        server.bodies[-1]["messages"][-1]["content"] == "Hello"
        and len(server.bodies[-1]["messages"]) == 2,
        server.bodies[-1]["messages"],
    )


def hostile(report, browser):
    browser.click("#new")
    ask(browser, "something hostile", 1)
    report.check(
        "markup stays text",
        browser.run("return window.broken === undefined")
        and browser.count(".text script, .text img, .text b, .text a, .text i") == 0
        and "<script>window.broken = 1</script>" in browser.text(".text"),
        browser.text(".text"),
    )
    loaded = browser.run("""const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';
        return new Promise(done => document.addEventListener('securitypolicyviolation', e => done(e.blockedURI)))""")
    report.check(
        "the policy lets nothing in from elsewhere", loaded == "http://127.0.0.1:9/x.png", loaded
    )
    browser.click("#attach")
    report.check(
        "a server of text takes no files", browser.text("#notice") == "This server takes text only."
    )


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
# A file comes as the clipboard or a drag brings it.
GIVE = """
const bytes = Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], arguments[1], {type: arguments[2]}));
const where = arguments[3] === 'paste' ? document.getElementById('prompt') : document.querySelector('main');
where.dispatchEvent(arguments[3] === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
"""


def media(report, browser, server):
    """Files by drag and paste: previews, one taken back, the parts of the message."""
    browser.click("#new")
    browser.run("models[0].input_modalities = ['text', 'image', 'audio']")
    browser.run(GIVE, PNG, "a.png", "image/png", "drop")
    browser.wait("return files.length === 1")
    browser.run(GIVE, PNG, "b.png", "image/png", "paste")
    browser.wait("return files.length === 2")
    browser.run(GIVE, "UklGRg==", "c.wav", "audio/wav", "drop")
    browser.wait("return files.length === 3")
    report.check(
        "files are shown before they are sent",
        browser.count("#files img") == 2 and browser.count("#files audio") == 1,
    )
    report.check(
        "a picture is a picture",
        browser.wait("return document.querySelector('#files img').naturalWidth === 1"),
    )
    browser.click("#files figure:nth-child(2) button")
    report.check("a file is taken back", browser.run("return files.map(f => f.name).join()") == "a.png,c.wav")
    browser.run(GIVE, PNG, "d.mp4", "video/mp4", "drop")
    report.check(
        "what the server does not take is refused by name",
        browser.text("#notice") == "d.mp4: this server takes image, audio only.",
        browser.text("#notice"),
    )
    browser.screenshot(shots() / "media.png")
    ask(browser, "What is this?", 1)
    sent = server.bodies[-1]["messages"][-1]["content"]
    report.check(
        "parts in order, the text last",
        sent
        == [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}},
            {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,UklGRg=="}},
            {"type": "text", "text": "What is this?"},
        ],
        sent,
    )
    report.check(
        "they stand with the message",
        browser.count(".user img") == 1 and browser.count("#files figure") == 0,
    )
    ask(browser, "And more?", 2)
    messages = server.bodies[-1]["messages"]
    report.check(
        "and go with the next turn once",
        messages[-3]["content"] == sent and messages[-1]["content"] == "And more?",
        messages,
    )


def access(report, browser):
    """Everything that can be used has a name that a screen reader can say."""
    nameless = browser.run("""return [...document.querySelectorAll('button, input, select, textarea')].filter(e =>
        e.type !== 'file' && !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length).map(e => e.id)""")
    report.check("controls have names", not nameless, nameless)


def keys(report):
    server = MockServer(needs_key=True)
    with Browser(size=(480, 800)) as browser:
        browser.open(server.url)
        browser.wait("return document.activeElement.id === 'key'")
        report.check(
            "a missing key is asked for",
            "API key" in browser.text("#notice"),
            browser.text("#notice"),
        )
        browser.type("#key", KEY + ENTER)
        browser.wait("return document.getElementById('model').value === 'gemma-4-mock'")
        report.check(
            "the key stays in this tab",
            browser.run(
                "return [sessionStorage.getItem('gemmad.key'), localStorage.length, document.cookie]"
            )
            == [KEY, 0, ""],
        )
        browser.click("#gear")
        ask(browser, "Hello", 1)
        report.check(
            "a narrow window is not wider than it is",
            browser.run("return document.documentElement.scrollWidth <= innerWidth"),
        )
        browser.screenshot(shots() / "narrow.png")
    server.shutdown()


def main():
    chromium.need()
    report = Report()
    server = MockServer()
    with Browser() as browser:
        browser.open(server.url)
        browser.screenshot(shots() / "empty.png")
        answers(report, browser, server)
        again(report, browser, server)
        browser.run("document.getElementById('log').scrollTop = 0")
        browser.screenshot(shots() / "answer.png")
        access(report, browser)
        tools(report, browser, server)
        settings(report, browser, server)
        failures(report, browser, server)
        hostile(report, browser)
        media(report, browser, server)
        complaints = [
            c for c in browser.complaints() if "status of 400" not in c and "127.0.0.1:9/" not in c
        ]
        report.check("the browser has nothing to complain about", not complaints, complaints)
    with Browser(dark=True) as browser:
        browser.open(server.url)
        ask(browser, "Why is the sky blue?", 1)
        browser.screenshot(shots() / "dark.png")
    server.shutdown()
    keys(report)
    report.close()


if __name__ == "__main__":
    main()
