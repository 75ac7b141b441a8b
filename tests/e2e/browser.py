"""A headless Chromium, driven over a pipe with the DevTools protocol: Python's standard library and nothing else.

    with Browser() as browser:
        page = browser.open("file:///tmp/report.html", width=390, height=844, dark=True)
        page.evaluate("document.title")             # the value, as JSON has it; a promise is waited for
        page.click("#send")                         # the mouse, in the middle of the element, scrolled into view
        page.press("Tab"), page.press("Enter")      # the keyboard; "Shift+Tab"
        page.type("cat")                            # text into what has the focus
        page.choose("input[type=file]", "cat.png")  # a file input
        page.drop("#here", "cat.png")               # a file, dragged from the desktop
        page.wait("document.querySelector('#label').textContent")  # until it is true; gives the value
        page.screenshot("page.png")                 # all of it, also what is below the window; whole=False: the window
        assert not page.errors, page.errors         # console errors, exceptions, refused resources, by Chromium's words
        page.requests                               # every URL that it asked for, but data: and blob:

Nothing outside 127.0.0.1 can be reached. `page.call("Input.dispatchTouchEvent", ...)` is any command of
https://chromedevtools.github.io/devtools-protocol/. Whoever has no Chromium is told by a BrowserError which package has one:
tools/setup.sh full installs it, and tests with a browser are *_slow_test.py.
"""
import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
FLAGS = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--hide-scrollbars", "--mute-audio", "--force-color-profile=srgb", "--font-render-hinting=none",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " "), "Home": (36, ""), "End": (35, ""),
        "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, "")}
MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}


class BrowserError(Exception):
    """Chromium is not there, has died, does not answer, or says that a command cannot be done."""


class Browser:
    """Chromium with a profile of its own, which is removed with it. A context manager; used by one thread."""

    def __init__(self, timeout=60):
        self.timeout = timeout  # seconds for each answer
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise BrowserError("there is no Chromium: apt-get install chromium-headless-shell (tools/setup.sh full does)")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.to = os.pipe()
        self.source, theirs_out = os.pipe()

        def ends():  # Chromium reads commands from descriptor 3 and writes answers to 4
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs_in, theirs_out)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"], close_fds=False,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=ends)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.buffer, self.pages = 0, b"", {}
        self.version = self.call("Browser.getVersion")["product"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
        except (BrowserError, OSError):
            pass
        os.close(self.to)
        os.close(self.source)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()

    def open(self, url, width=1440, height=900, dark=False, touch=False, scale=1, still=True):
        """A page in a window of its own; `still`: as for people who want no motion. It is returned when it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch)
        page.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        page.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}])
        page.go(url)
        return page

    def call(self, method, session=None, **parameters):
        """The answer to a command; events that come before it are told to their pages."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.to, text):]
        end = time.monotonic() + self.timeout
        while True:
            answer = self.receive(end, method)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self, end, awaited):
        """The next message, before `end`; an event is also told to its page."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.source], [], [], max(0, end - time.monotonic()))
            part = os.read(self.source, 1 << 20) if ready else b""
            if not part:
                raise BrowserError(f"{awaited}: Chromium {'has ended' if ready else 'does not answer'}")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message and message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].tell(message["method"], message["params"])
        return message


class Page:
    """A window of a Browser."""

    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.errors, self.requests, self.loaded = [], [], False

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def tell(self, event, of):
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Network.requestWillBeSent" and not of["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(of["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            details = of["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and of["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in of["args"]))
        elif event == "Log.entryAdded" and of["entry"]["level"] == "error":
            self.errors.append(f"{of['entry']['text']} {of['entry'].get('url', '')}".strip())

    def go(self, url):
        self.loaded = False
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        end = time.monotonic() + self.browser.timeout
        while not self.loaded:
            self.browser.receive(end, url)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(f"{expression}: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def wait(self, expression, seconds=10):
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise BrowserError(f"not within {seconds} s: {expression}")
            time.sleep(0.02)
        return value

    def middle(self, selector):
        """Where in the window the element is, which is scrolled into it."""
        place = self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{block: "center", inline: "center", behavior: "instant"}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        if place is None:
            raise BrowserError(f"no element is {selector}")
        return place

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector):
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, start, end):
        """The mouse, pressed from one point of the window to another."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        self.mouse("mouseMoved", *((a + b) / 2 for a, b in zip(start, end)), button="left", buttons=1)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def press(self, name):
        *held, key = name.split("+") if len(name) > 1 else [name]
        number, text = KEYS.get(key, (ord(key.upper()[0]), key))
        common = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": number,
                  "modifiers": sum(MODIFIERS[m] for m in held)}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def choose(self, selector, *files):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        if node == 0:
            raise BrowserError(f"no element is {selector}")
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(pathlib.Path(f).resolve()) for f in files])

    def drop(self, selector, *files):
        x, y = self.middle(selector)
        data = {"items": [], "files": [str(pathlib.Path(f).resolve()) for f in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screenshot(self, path, whole=True):
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        pathlib.Path(path).write_bytes(base64.b64decode(image["data"]))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
