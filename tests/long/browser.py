"""Open a page in a real Chromium by the WebDriver protocol, without a screen: its log, what it asks for, its looks."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

PHONE, TABLET, DESK = (390, 844), (820, 1180), (1280, 900)  # CSS pixels
KEYS = {  # of the WebDriver protocol
    **{"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "End": "\ue010", "Home": "\ue011"},
    **{"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015"},
}
OPTIONS = {
    "goog:chromeOptions": {
        "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    },
    "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
}


class Browser:
    """A session with a chromedriver that listens at `address`."""

    def __init__(self, address: str):
        self.address = f"{address}/session"
        self.address += "/" + self.post("", {"capabilities": {"alwaysMatch": OPTIONS}})["sessionId"]

    def post(self, path: str, content: dict):
        reply = requests.post(self.address + path, json=content, timeout=60).json()["value"]
        if isinstance(reply, dict) and "error" in reply:
            raise RuntimeError(f"{path}: {reply['message']}")
        return reply

    def close(self) -> None:
        requests.delete(self.address, timeout=60)

    def cdp(self, command: str, **parameters):
        return self.post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url: str, size: tuple[int, int] = DESK, dark: bool = False) -> None:
        """Open a page on a screen of this size that prefers dark or light."""
        self.log("browser"), self.log("performance")  # what was before
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.cdp("Emulation.setDeviceMetricsOverride", **screen)
        self.post("/url", {"url": url})

    def log(self, kind: str) -> list[dict]:
        return self.post("/se/log", {"type": kind})

    def run(self, script: str, *arguments):
        """What a function body in JavaScript returns; it runs whatever the page's own policy is."""
        return self.post("/execute/sync", {"script": script, "args": arguments})

    def run_until_done(self, script: str, *arguments):
        """What a function body in JavaScript hands to `done`."""
        script = f"const done = arguments[arguments.length - 1]; {script}"
        return self.post("/execute/async", {"script": script, "args": arguments})

    def press(self, *keys: str) -> None:
        """Press keys one after the other, each a letter or a name of KEYS."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self.post("/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def point(self, x: float, y: float, *then: str) -> None:
        """Move the mouse to a place on the screen; `then` may be pointerDown and pointerUp."""
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0}]
        moves += [{"type": kind, "button": 0} for kind in then]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}
        self.post("/actions", {"actions": [mouse]})

    def requested(self) -> list[str]:
        """Every address that was asked for since the page was opened, the page's own too."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        whole = {**self.cdp("Page.getLayoutMetrics")["cssContentSize"], "scale": 1}
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for a test; without one on this machine the test skips."""
    driver = shutil.which("chromedriver")
    if driver is None or not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))):
        pytest.skip("no chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stdout if "started successfully on port" in line)
        opened = Browser(f"http://127.0.0.1:{line.split()[-1].rstrip('.')}")
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.terminate()
        process.communicate()
