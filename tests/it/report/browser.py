#!/usr/bin/env python3
"""Looks at a page in headless Chromium, in light, in dark and as for paper.

    browser.py CHROMIUM [PAGE FOLDER]

Without a page, only says which version answers. Prints one JSON object: what the console said, what was asked of a network, and what was seen in each of the
three; leaves light.png, dark.png, print.png and page.pdf in FOLDER. It speaks the DevTools protocol through a
pipe (file descriptors 3 and 4), which needs nothing but Python.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LIMIT = 100  # seconds; a page takes two on an idle machine

FLAGS = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--window-size=1200,1000",
]

# Runs in the page.
SEEN = r"""
(() => {
  const figures = JSON.parse(document.getElementById('figures').textContent);
  const at = path => path.split('.').reduce((value, name) => value === undefined || value === null ? undefined : value[name], figures);
  const shown = [...document.querySelectorAll('[data-figure]')].map(element => ({
    figure: element.dataset.figure, kind: element.dataset.kind || 'text', text: element.textContent,
    value: at(element.dataset.figure) === undefined ? null : at(element.dataset.figure),
    visible: element.getClientRects().length > 0 || element.closest("details:not([open])") !== null,
  }));
  const lines = [...document.querySelectorAll('path[data-field]')].map(path => ({
    field: path.dataset.field, drawn: (path.getAttribute('d').match(/[ML]/g) || []).length, finite: !/NaN|Infinity/.test(path.getAttribute('d')),
    known: figures.course.filter(point => point[path.dataset.field] !== null).length, stroke: getComputedStyle(path).stroke,
  }));
  const cells = Object.fromEntries([...document.querySelectorAll('[data-heat]')].map(map => [map.dataset.heat, map.querySelectorAll('rect').length]));
  const style = getComputedStyle(document.body);
  const clipped = [...document.querySelectorAll('td, th, dd, h1, p')].filter(element => element.scrollWidth > element.clientWidth + 1).length;
  return {
    clipped, figures, shown, lines, cells, background: style.backgroundColor, ink: style.color, scripts: document.querySelectorAll('script:not([type])').length,
    elements: [...new Set([...document.querySelectorAll('body *')].map(element => element.tagName.toLowerCase()))],
    handlers: [...document.querySelectorAll('*')].flatMap(element => [...element.attributes]).filter(attribute => /^on/i.test(attribute.name)).length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    hidden: getComputedStyle(document.querySelector('.hover') || document.body).display === 'none',
  };
})()
"""


class Browser:
    def __init__(self, program, profile):
        self.number = 0
        self.events = []
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def wire():  # in the child: what it reads is 3, what it writes is 4
            os.dup2(to_read, 1000)
            os.dup2(from_write, 1001)
            os.dup2(1000, 3)
            os.dup2(1001, 4)

        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        environment = dict(os.environ, HOME=profile)
        self.process = subprocess.Popen(
            command, preexec_fn=wire, pass_fds=(3, 4, to_read, from_write), env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        self.output, self.input = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb")
        self.rest = b""

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.input.fileno(), 1 << 16)
            if not more:
                raise SystemExit("chromium has ended")
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, session=None, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        self.output.write(json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.message())


def look(program, look_with):
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        watchdog = threading.Timer(LIMIT, browser.process.kill)
        watchdog.start()
        try:
            return look_with(browser)
        finally:
            watchdog.cancel()
            browser.process.kill()
            browser.process.wait()


def look_at(browser, page, folder):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable", session)
    browser.events.clear()
    browser.call("Page.navigate", session, url=page.absolute().as_uri())
    browser.wait_for("Page.loadEventFired")
    views = {}
    views_of = (("light", "screen", "light", 1200), ("dark", "screen", "dark", 1200), ("print", "print", "light", 1200), ("narrow", "screen", "light", 390))
    for name, media, scheme, width in views_of:
        browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=1000, deviceScaleFactor=1, mobile=False)
        browser.call("Emulation.setEmulatedMedia", session, media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        answer = browser.call("Runtime.evaluate", session, expression=SEEN, returnByValue=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"in the page: {answer['exceptionDetails']}")
        views[name] = answer["result"]["value"]
        picture = browser.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)
        (folder / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))
    browser.call("Emulation.clearDeviceMetricsOverride", session)
    browser.call("Emulation.setEmulatedMedia", session, media="", features=[])
    paper = base64.b64decode(browser.call("Page.printToPDF", session, preferCSSPageSize=True)["data"])
    (folder / "page.pdf").write_bytes(paper)
    said = [event for event in browser.events if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]
    asked = [event["params"]["request"]["url"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    elsewhere = [url for url in asked if not url.startswith(("file:", "data:"))]
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    return {"said": said, "elsewhere": elsewhere, "views": views, "paper": paper[:5].decode(errors="replace"), "pages": pages}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(look(sys.argv[1], lambda browser: browser.call("Browser.getVersion")["product"]))
    else:
        print(json.dumps(look(sys.argv[1], lambda browser: look_at(browser, Path(sys.argv[2]), Path(sys.argv[3])))))
