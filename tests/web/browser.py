"""Headless Chromium, driven over its debugging pipe with nothing but Python.

One page. Every call waits for the browser's answer; wait() for the page itself.

    with Browser() as page:
        page.open("http://127.0.0.1:7452/#/rank")
        page.wait("document.querySelector('table tbody tr')")
        page.key("Tab")
        page.screenshot("rank.png")
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium")
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39,
        "ArrowUp": 38, "ArrowDown": 40, "Escape": 27}


class Browser:
    def __init__(self, width=1100, height=900, dark=False):
        self.profile = tempfile.mkdtemp(prefix="perfvec_web_")
        to_browser, self.to_browser = os.pipe()
        self.from_browser, from_browser = os.pipe()

        def hand_over():  # the browser reads 3 and writes 4
            spare = [os.dup(to_browser), os.dup(from_browser)]
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate(spare)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--hide-scrollbars",
             "--remote-debugging-pipe", "--user-data-dir=" + self.profile,
             "about:blank"],
            preexec_fn=hand_over, close_fds=False, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.errors = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget",
                                 targetId=page["targetId"],
                                 flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.size(width, height)
        self.dark(dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.close(self.to_browser)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                read = os.read(self.from_browser, 1 << 20)
                if not read:
                    raise RuntimeError("the browser has ended")
                self.buffer += read
            text, self.buffer = self.buffer.split(b"\0", 1)
            answer = json.loads(text)
            self.note(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def note(self, event):
        """Keeps what the page complains of."""
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(json.dumps(params["entry"]))

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 600)

    def dark(self, on):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def open(self, url):
        self.call("Page.navigate", url=url)

    def eval(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression,
                           returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.eval(f"!!({condition})"):
            if time.monotonic() > end:
                raise AssertionError(f"never: {condition}; the page shows\n" +
                                     self.eval("document.body.innerText"))
            time.sleep(0.05)

    def key(self, name, times=1):
        for _ in range(times):
            text = {"Enter": "\r", " ": " "}.get(name, "")
            self.call("Input.dispatchKeyEvent", type="keyDown", key=name,
                      code=name, text=text,
                      windowsVirtualKeyCode=KEYS[name])
            self.call("Input.dispatchKeyEvent", type="keyUp", key=name,
                      code=name, windowsVirtualKeyCode=KEYS[name])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
