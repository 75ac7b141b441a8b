#!/usr/bin/env python3
"""`resnet report` as people see it, by headless Chromium: at 390 and 1440 pixels, light and dark, with mouse, finger and
keyboard. Screenshots are left in the test's folder; RESNET_SCREENSHOTS=DIR takes them elsewhere."""
import os
import pathlib
import random
import re

from browser import Browser
from program import HERE, png, put, run

SHOTS = pathlib.Path(os.environ.get("RESNET_SCREENSHOTS", HERE))
SMALL = ["--limit-train", 1000, "--limit-test", 500, "--resize", 28, "--channels", "16,32", "--blocks", "1,1", "--batch-size", 50, "--lr", 0.1, "--quiet"]

run("train", *SMALL, "--epochs", 3, "--out", "one")
run("train", *SMALL, "--epochs", 2, "--seeds", 3, "--out", "seeds")
assert run("report", "one", "--peak").stdout == "one/report.html\n"
assert run("report", "seeds").stdout == "seeds/report.html\n"
run("report", "one", "seeds", "--out", "all.html")

# Contrast of text, by WCAG's formula, to the nearest background that is not transparent.
CONTRAST = """(() => {
  const parse = (text) => {
    const m = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [255 * m[0], 255 * m[1], 255 * m[2], m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3]));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (element.closest("script, style, svg, [hidden], .skip, noscript") || !element.getClientRects().length) continue;
    const back = behind(element), text = over(parse(getComputedStyle(element).color), back);
    const [a, b] = [light(text), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([element.tagName, element.className, element.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)]);
  }
  return bad.slice(0, 5);
})()"""
NAMELESS = """[...document.querySelectorAll("button, select, input, a, img, [role=img], [role=region]")].filter((e) =>
  !(e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("alt") || e.labels?.length)).map((e) => e.outerHTML.slice(0, 80))"""
DRAWN = "[...document.images].filter((i) => !i.closest('[hidden]')).every((image) => image.complete && image.naturalWidth > 0)"
first_of_column = "[...document.querySelectorAll('#classes tbody tr')].map((row) => row.children[%d].textContent)"


def check(page, what):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{what}: the page is wider than its window"
    assert page.evaluate(CONTRAST) == [], (what, page.evaluate(CONTRAST))
    assert page.evaluate(NAMELESS) == [], (what, page.evaluate(NAMELESS))
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:])), levels
    assert page.evaluate("[...document.querySelectorAll('th')].every((th) => th.scope)"), what


def quiet(page, what):
    assert page.errors == [], (what, page.errors)
    assert len(page.requests) == 1 and page.requests[0].startswith("file://"), (what, page.requests)


with Browser() as browser:
    for name, file in (("one", "one/report.html"), ("seeds", "seeds/report.html"), ("all", "all.html")):
        for width in (390, 1440):
            for dark in (False, True):
                what = f"report-{name}-{width}-{'dark' if dark else 'light'}"
                page = browser.open(f"file://{HERE / file}", width=width, height=844 if width < 500 else 1000, dark=dark, touch=width < 500)
                page.evaluate("document.querySelectorAll('img').forEach((image) => image.loading = 'eager')")
                page.wait(DRAWN)

                # Sorting, by a click and by a key.
                page.click("#classes thead th:nth-child(2) button")
                shares = [float(text) for text in page.evaluate(first_of_column % 1) if text != "–"]
                assert shares == sorted(shares, reverse=True) and len(shares) > 5, shares
                assert page.evaluate("document.querySelector('#classes thead th:nth-child(2)').ariaSort") == "descending"
                page.press("Enter")
                shares = [float(text) for text in page.evaluate(first_of_column % 1) if text != "–"]
                assert shares == sorted(shares), shares

                # A cell of the matrix, by a click, and its neighbour by the keyboard.
                page.click("#confusion .matrix tbody tr:nth-child(7) td:nth-child(8) button")
                text = page.evaluate("document.querySelector('#behind h3').textContent")
                assert re.fullmatch(r"\d+ of [\d,]+ Shirt were recognised", text), text
                assert page.evaluate("document.querySelectorAll('#behind img').length") > 0
                page.press("ArrowLeft")
                assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Shirt, answered Sandal: ")
                page.press(" ")
                assert "Shirt were taken for Sandal" in page.evaluate("document.querySelector('#behind h3').textContent")
                page.press("Tab")
                assert page.evaluate("!document.activeElement.closest('.matrix')"), "the matrix is one stop of the Tab key"
                wrong = page.evaluate("""[...document.querySelectorAll('.matrix button.wrong')].sort((a, b) => b.textContent - a.textContent)[0].click(),
                                         [...document.querySelectorAll('#behind img')].map((image) => image.alt)""")
                assert wrong and all(re.fullmatch(r"example \d+: .*, taken for .*", alt) for alt in wrong), wrong

                # A chart: zoomed by its button, the keys and the mouse; read by the arrow keys.
                label = "document.querySelector('#curves .chart svg').textContent"
                whole = page.evaluate(label)
                page.click("#curves .tools button")
                zoomed = page.evaluate(label)
                assert zoomed != whole
                page.mouse("mouseMoved", 1, 1)  # not over the chart, which would be read where it is
                page.evaluate("document.querySelector('#curves .chart').focus({preventScroll: true})")
                page.press("0")
                assert page.evaluate(label) == whole
                page.press("ArrowRight")
                assert re.match(r"epoch (0\.20|1\.00) · ", page.evaluate("document.querySelector('#curves .readout').textContent"))
                page.press("+")
                assert page.evaluate(label) != whole
                page.press("Escape")
                x, y = page.middle("#curves .chart")
                if width > 500:
                    page.drag((x, y), (x + 80, y))
                    assert page.evaluate(label) != whole, "dragging over a part shows it"
                else:
                    for kind, apart in (("touchStart", 40), ("touchMove", 80), ("touchMove", 120), ("touchEnd", None)):
                        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
                        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
                    assert page.evaluate(label) != whole, "two fingers zoom"
                page.evaluate("document.querySelector('#curves .chart').dispatchEvent(new MouseEvent('dblclick'))")
                assert page.evaluate(label) == whole

                # Everything that folds is opened once; then all of the page is looked at.
                page.evaluate("document.querySelectorAll('details').forEach((details) => details.open = true)")
                page.wait("[...document.querySelectorAll('details')].every((details) => details.children.length > 1)")
                check(page, what)
                page.evaluate("document.querySelectorAll('details').forEach((details) => details.open = false)")
                if name != "one":
                    page.evaluate("const s = document.querySelector('#run-of-classes'); s.value = '1'; s.dispatchEvent(new Event('change'))")
                    assert page.evaluate("document.querySelector('#run-of-calibration').value") == "1"
                    assert "±" in page.evaluate("document.querySelector('#runs tfoot').textContent")
                page.evaluate("document.activeElement.blur(), scrollTo(0, 0), document.querySelectorAll('img').forEach((i) => i.loading = 'eager')")
                page.wait(DRAWN)
                page.screenshot(SHOTS / f"{what}.png")
                quiet(page, what)
                page.close()
# Photographs of classes and files whose names are meant to break a page.
CLASSES = ["</script><script>alert(1)</script>".replace("/", "\u2215"), "<img src=x onerror=alert(1)>", "a&amp;b \"'", "\u202eevil"]
noise = random.Random(2)
for k, name in enumerate(CLASSES):
    for i in range(8):
        put(f"strange/{name}/<b>{i}\u202e.png", png(bytes(min(255, 50 * k + noise.randrange(60)) for _ in range(120 * 150 * 3)), 120, 150))
run("train", "strange", "--resize", 24, "--channels", 8, "--blocks", 1, "--batch-size", 4, "--epochs", 1, "--val-split", 0.5, "--quiet", "--out", "odd")
run("report", "odd")
with Browser() as browser:
    page = browser.open(f"file://{HERE / 'odd/report.html'}", width=390, height=844)
    page.evaluate("document.querySelectorAll('img').forEach((image) => image.loading = 'eager')")
    page.wait(DRAWN)
    names = page.evaluate("[...document.querySelectorAll('#data tbody th')].map((th) => th.textContent)")
    assert sorted(names) == sorted([*CLASSES[:3], "\\u202eevil"]), names
    assert "\u202e" not in page.evaluate("document.documentElement.outerHTML")
    assert page.evaluate("document.querySelector('#data img').src").startswith("data:image/webp;base64,")
    check(page, "odd")
    quiet(page, "odd")
print("13 pages looked at")
