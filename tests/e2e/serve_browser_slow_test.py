#!/usr/bin/env python3
"""The page of `resnet serve` in a browser: a picture is dropped, pasted and chosen, by mouse and by keyboard, and its label is read.

With a folder in SCREENSHOTS it leaves pictures of the page there.
"""
import base64
import json
import os
import pathlib
import random
import re
import signal
import subprocess

from browser import Browser
from program import PROGRAM, SOURCE, png, put, put_small_idx, run

RUN = os.environ.get("SERVE_RUN", "run")  # for the screenshots in docs/
PICTURES = [pathlib.Path(p) for p in os.environ.get("SERVE_PICTURES", "").split()]
SCREENSHOTS = os.environ.get("SCREENSHOTS")

if RUN == "run":
    put_small_idx("idx")
    run("train", "--data", "idx:idx", "--resize", "32", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "4", "--epochs", "1",
        "--quiet", "--out", RUN)
if not PICTURES:
    for i, name in enumerate(("one.png", "two <b>&.png", "drei 犬.png", "four.png")):
        put(name, png(random.Random(i).randbytes(40 * 40 * 3), 40, 40))
        PICTURES.append(pathlib.Path(name))
put("broken.png", PICTURES[0].read_bytes()[:-40])
LABELS = {p.name: json.loads(run("predict", RUN, p, "--json").stdout)[0] for p in PICTURES}

server = subprocess.Popen([PROGRAM, "serve", RUN, "--port", "0"], stderr=subprocess.PIPE, text=True)
address = re.search(r" at (http://\S+);", server.stderr.readline())[1]


def answers(page):
    """Of the page, the newest first: name, and label and percentage of its first bar, or the error."""
    return page.evaluate("""[...document.querySelectorAll('article')].map((a) => [a.querySelector('h2').textContent,
        (a.querySelector('li span') || a.querySelector('p')).textContent, (a.querySelector('li b') || {}).textContent])""")


def expected(name):
    return [name, LABELS[name]["label"], f"{100 * LABELS[name]['probability']:.1f} %"]


def check_page(browser, name, **window):
    page = browser.open(address, **window)
    wait = lambda count: page.wait(f"document.querySelectorAll('article li, article p.bad').length >= {count}")
    # Dropped: the label is there, in words that are read out, with a bar for each class.
    page.drop("#drop", PICTURES[0])
    wait(1)
    assert answers(page) == [expected(PICTURES[0].name)], answers(page)
    said = page.evaluate("document.querySelector('[role=status]').textContent")
    assert said == "{}: {}, {}".format(*expected(PICTURES[0].name)), said
    bars = page.evaluate("[...document.querySelectorAll('article rect')].map((r) => Number(r.getAttribute('width')))")
    assert len(bars) == min(5, len(LABELS[PICTURES[0].name]["top"])) or len(bars) == 5, bars
    assert abs(bars[0] - 100 * LABELS[PICTURES[0].name]["probability"]) < 1e-3 and bars == sorted(bars, reverse=True), bars
    # Anywhere on the page, several at once, with names that are no HTML; and what is no picture.
    page.drop("h1", *PICTURES[1:])
    page.wait(f"document.querySelectorAll('article li:first-child').length === {len(PICTURES)}")
    assert answers(page) == [expected(p.name) for p in reversed(PICTURES)], answers(page)
    page.drop("#drop", "broken.png")
    page.wait("document.querySelector('article p.bad') !== null")
    assert answers(page)[0][0] == "broken.png" and "PNG" in answers(page)[0][1], answers(page)[0]
    # Pasted.
    page.evaluate(f"""(() => {{
        const bytes = Uint8Array.from(atob({json.dumps(base64.b64encode(PICTURES[1].read_bytes()).decode())}), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'pasted.png', {{ type: 'image/png' }}));
        document.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }}));
    }})()""")
    page.wait("document.querySelector('article h2').textContent === 'pasted.png' && document.querySelector('article').querySelector('li') !== null")
    assert answers(page)[0][1:] == expected(PICTURES[1].name)[1:], answers(page)[0]
    # By the keyboard alone: the first stop is the button, which opens the system's dialog for files.
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    page.evaluate("document.activeElement.blur()")
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    if name == "phone":
        page.press("Tab")
        assert page.evaluate("document.activeElement.id") == "photo", "a phone takes photographs"
    else:
        assert page.evaluate("getComputedStyle(document.querySelector('#photo')).display") == "none"
    page.choose("#files", PICTURES[0])
    page.wait(f"document.querySelectorAll('article').length === {len(PICTURES) + 3} && document.querySelector('article').querySelector('li') !== null")
    assert answers(page)[0] == expected(PICTURES[0].name)
    # It fits its window, and text stands out from its ground.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than its window"
    contrasts = page.evaluate("""(() => {
        const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = (e) => { const c = getComputedStyle(e).backgroundColor; return c === 'rgba(0, 0, 0, 0)' ? ground(e.parentElement) : c; };
        return [...document.querySelectorAll('h1, #drop p, button:not([hidden]), #status, article h2, article p, li span, li b')].map((e) => {
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)];
        });
    })()""")
    assert len(contrasts) > 20 and all(contrast >= 4.5 for contrast, _ in contrasts), min(contrasts)
    small = page.evaluate("[...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 44).length")
    assert small == 0, "buttons are large enough for a finger"
    if SCREENSHOTS:
        page.click("#clear")
        page.drop("#drop", *PICTURES)
        page.wait(f"document.querySelectorAll('article li:first-child').length === {len(PICTURES)}")
        page.screenshot(f"{SCREENSHOTS}/serve-{name}-{'dark' if window.get('dark') else 'light'}.png")
    # Away with them.
    page.click("#clear")
    assert answers(page) == [] and page.evaluate("document.activeElement.id") == "choose"
    assert len(page.errors) == 1 and "422" in page.errors[0], page.errors  # Chromium's note of the broken picture
    assert all(url.startswith(address) for url in page.requests), page.requests
    page.close()


try:
    with Browser() as browser:
        for dark in (False, True):
            check_page(browser, "desktop", width=1440, height=900, dark=dark)
            check_page(browser, "phone", width=390, height=844, dark=dark, touch=True, scale=2)
        # A page of another origin gets no answer.
        put("other.html", b"<!DOCTYPE html><link rel=icon href=data:,><p>other")
        other = browser.open((pathlib.Path.cwd() / "other.html").as_uri())
        outcome = other.evaluate(f"fetch({json.dumps(address + '/predict')}, {{method: 'POST', body: 'x', mode: 'no-cors'}}).then(() => 'sent', String)")
        assert outcome == "sent", outcome
        framed = browser.open(address)
        assert framed.evaluate("fetch('/health').then((r) => r.json()).then((h) => h.status)") == "ok"
        counted = framed.evaluate("fetch('/metrics').then((r) => r.text())")
        assert 'resnet_requests_total{path="/predict",status="403"} 1' in counted, counted
finally:
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 143
