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

PHONE, DESK = (390, 844), (1280, 900)  # CSS pixels
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

    def run(self, script: str):
        """What a function body in JavaScript returns; it runs whatever the page's own policy is."""
        return self.post("/execute/sync", {"script": script, "args": []})

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
