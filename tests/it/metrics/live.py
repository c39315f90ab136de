#!/usr/bin/env python3
"""Looks at the page of a run in headless Chromium: when it has changed by itself, and when the run has ended.

    live.py CHROMIUM URL FOLDER

Prints a JSON object in a line for each of the two, and leaves light.png, dark.png and narrow.png in FOLDER.
"""

import base64
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "report"))

import browser as chromium  # noqa: E402

# Each of these is awaited.
CHANGED = """new Promise(done => {
  const time = () => document.querySelector('#live time')?.textContent, first = time();
  const look = () => time() && time() !== first ? done(true) : setTimeout(look, 100);
  look();
})"""
GONE = """new Promise(done => {
  const look = () => document.getElementById('gone').hidden ? setTimeout(look, 100) : done(document.getElementById('gone').innerText);
  look();
})"""
SEEN = """(() => {
  const classes = [...document.querySelectorAll('svg.cells rect')].map(cell => cell.getAttribute('class'));
  const cells = {};
  classes.forEach(name => cells[name] = (cells[name] || 0) + 1);
  return {
    title: document.title, heading: document.querySelector('h1').innerText, verdict: document.querySelector('#live .verdict').innerText, cells,
    bar: document.querySelector('progress').position, stages: [...document.querySelectorAll('tbody th')].map(stage => stage.innerText),
    gone: document.getElementById('gone').getClientRects().length > 0,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
  };
})()"""


def main(browser, url, folder):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable", session)

    def evaluate(expression):
        answer = browser.call("Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"in the page: {answer['exceptionDetails']}")
        return answer["result"]["value"]

    def picture(name):
        data = browser.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)["data"]
        (folder / f"{name}.png").write_bytes(base64.b64decode(data))

    def heard():
        said = [event for event in browser.events if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]
        asked = [event["params"]["request"]["url"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
        return {"said": said, "elsewhere": [one for one in asked if not one.startswith((url, "data:"))]}

    browser.events.clear()
    browser.call("Page.navigate", session, url=url)
    browser.wait_for("Page.loadEventFired")
    evaluate(CHANGED)
    views = {}
    for name, scheme, width in (("light", "light", 1200), ("dark", "dark", 1200), ("narrow", "light", 390)):
        browser.call("Emulation.setEmulatedMedia", session, media="screen", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=1000, deviceScaleFactor=1, mobile=False)
        views[name] = evaluate(SEEN)
        picture(name)
    print(json.dumps({"views": views, **heard()}), flush=True)
    print(json.dumps({"gone": evaluate(GONE)}), flush=True)


if __name__ == "__main__":
    chromium.look(sys.argv[1], lambda browser: main(browser, sys.argv[2], Path(sys.argv[3])))
