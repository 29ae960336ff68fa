"""What the page's tests and pictures share: a Chromium that talks to nobody but us, a way to the admin socket, waiting, axe."""

import base64
import ctypes
import hashlib
import json
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

PATIENCE = 30


def wait_for(what, condition, limit=PATIENCE):
    """Waits until the condition gives something true, and gives that; asked every 20 ms."""
    end = time.monotonic() + limit
    while True:
        try:
            found = condition()
        except StaleElementReferenceException:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.02)


def ends_with_us():
    """In a child: it is told to end when this process ends, however that happens."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Forwarder:
    """As `ssh -L PORT:/run/pointsman/admin.sock` does: a port of this machine that leads to the socket."""

    def __init__(self, port, path):
        self.path = path
        self.listener = socket.create_server(("127.0.0.1", port))
        self.cut = False
        # Takes what the browser says to the socket and loses every answer.
        self.deaf = False
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            if self.cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.path)
            except OSError:
                near.close()
                continue
            self.open += [near, far]
            for pair in ((near, far, False), (far, near, True)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source, sink, answers):
        try:
            while data := source.recv(65536):
                if answers and self.deaf:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def break_off(self):
        """Breaks every connection and takes no new one."""
        self.cut = True
        for end in self.open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def mend(self):
        self.cut = False


def fingerprint(certificate):
    """Of its key: a browser takes the certificate with that key for good, and no other."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], check=True, capture_output=True).stdout
    key = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Browser:
    """A Chromium of its own, in an empty folder, that ends with this object."""

    def __init__(self, tools, port, dark=False, width=1280, height=1000, certificate=None):
        self.base = f"{'https' if certificate else 'http'}://127.0.0.1:{port}/"
        self.axe = (Path(tools) / "axe.min.js").read_text()
        self.folder = tempfile.TemporaryDirectory(prefix="pointsman-chromium-")
        options = Options()
        # It ends with the driver, also when that one is killed.
        starter = Path(self.folder.name) / "chromium"
        starter.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig TERM -- "{tools}/chromium" "$@"\n')
        starter.chmod(0o755)
        options.binary_location = str(starter)
        for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update",
                     "disable-sync", "disable-dev-shm-usage", "hide-scrollbars", f"user-data-dir={self.folder.name}/data", f"window-size={width},{height}"):
            options.add_argument(f"--{word}")
        if certificate:
            options.add_argument(f"--ignore-certificate-errors-spki-list={fingerprint(certificate)}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(Path(tools) / "chromedriver"), popen_kw={"preexec_fn": ends_with_us}))
        self.console, self.requests = [], []
        self.look(dark, width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.folder.cleanup()

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def look(self, dark=False, width=1280, height=1000, scale=1):
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                                                             {"name": "prefers-reduced-motion", "value": "reduce"}])
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def open(self):
        self.driver.get(self.base)

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return wait_for(f"an element {selector}", lambda: (self.all(selector) or [None])[0])

    def text(self, selector):
        """The text of the first such element, read in one go; empty if there is none."""
        return self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def keys(self, *keys):
        """Types into whatever has the focus, as a hand on the keyboard does."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def focus(self):
        """What has the focus, in short."""
        return self.js("const at = document.activeElement; return {tag: at.localName, act: at.dataset?.act ?? '', name: at.name ?? '', svc: at.dataset?.svc ?? '', text: at.innerText?.slice(0, 60) ?? ''}")

    def tab_to(self, what, condition, most=80):
        """Presses Tab until the focus is there."""
        for _ in range(most):
            self.keys(Keys.TAB)
            if condition(self.focus()):
                return
        raise AssertionError(f"no Tab leads to {what}; the focus is at {self.focus()}")

    def collect(self):
        """Takes what the browser logged since the last time: lines of the console, and every address that was asked for."""
        self.console += [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def outside(self):
        self.collect()
        return [url for url in self.requests if not url.startswith((self.base, "data:", "about:", "chrome:"))]

    def findings(self):
        """What axe calls serious or critical."""
        # The page's own policy forbids what axe does to look at it; the violation would be axe's.
        if not self.js("return Boolean(window.axe)"):
            self.command("Runtime.evaluate", expression=self.axe)
        report = self.driver.execute_async_script("const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(done, (error) => done({violations: [{impact: 'critical', id: String(error), nodes: []}]}))")
        bad = [found for found in report["violations"] if found["impact"] in ("serious", "critical")]
        return [f"{found['id']} ({found['impact']}): {[node.get('html', '')[:160] + ' // ' + node.get('failureSummary', '')[:200] for node in found['nodes'][:3]]}" for found in bad]

    def picture(self, file, whole=True, tall=2600):
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        arguments = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            arguments["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], tall), "scale": 1}
        Path(file).write_bytes(base64.b64decode(self.command("Page.captureScreenshot", **arguments)["data"]))

