// A chart of curves over epochs that can be zoomed: by dragging over a part, with two fingers, Ctrl and the wheel,
// the keyboard or its buttons.

const kLeft = 46, kRight = 12, kTop = 10, kBottom = 34;  // pixels around the field

// 0, or the first at or above `from`, in steps of 1, 2 or 5 times a power of ten.
function ticksOf(from, to, most, whole) {
  let power = 10 ** Math.floor(Math.log10((to - from) / most)), step = power;
  if (whole) power = step = Math.max(1, power);
  for (let i = 1; (to - from) / step > most + 1e-9; ++i) step = power * [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3);
  const ticks = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9; ++n) ticks.push(n * step);
  return {ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9))};
}

// The point of a curve that is nearest to `x`, by bisection.
function nearestPoint(points, x) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle; else high = middle;
  }
  return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
}

class Chart {
  // curves: [{label, style, pieces: [[[x, y], ...], ...]}]; band: {low, high} in pieces, or nothing; `end` of the x axis.
  constructor({title, curves, band, end, top}) {
    Object.assign(this, {title, band, end, top, from: 0, to: end, at: null, fingers: new Map()});
    this.curves = curves.filter((curve) => curve.pieces.length > 0).map((curve) => ({...curve, shown: true, points: curve.pieces.flat()}));
    this.readout = make("p", {class: "readout", "aria-live": "polite"});
    this.field = make("div", {class: "chart", tabindex: 0, role: "group", "aria-roledescription": "chart",
                              "aria-label": `${title}. Arrow keys read the values, plus and minus zoom, Shift and an arrow moves, 0 shows all.`});
    const tool = (text, label, act) => make("button", {type: "button", "aria-label": `${label}: ${title}`, title: label, onclick: act}, text);
    this.element = make("figure", {class: "figure"},
      make("div", {class: "bar"}, make("h3", {}, title),
        make("div", {class: "tools"}, tool("+", "Zoom in", () => this.zoom(0.5)), tool("−", "Zoom out", () => this.zoom(2)),
             tool("All", "Show all", () => this.look(0, this.end)))),
      this.legend(), this.field, this.readout, unfolded(`${title} as a table`, () => this.table()));
    this.listen();
    new ResizeObserver(() => this.paint()).observe(this.field);
  }

  legend() {
    return make("ul", {class: "legend"}, this.curves.map((curve) => {
      const last = curve.points[curve.points.length - 1][1];
      const button = make("button", {type: "button", "aria-pressed": "true", onclick: () => {
        curve.shown = !curve.shown;
        button.setAttribute("aria-pressed", curve.shown);
        this.paint();
      }}, draw("svg", {viewBox: "0 0 26 10", class: "sample", "aria-hidden": "true"}, draw("path", {class: `curve ${curve.style}`, d: "M1 5H25"})),
        named(curve.label), make("b", {}, figure(last)));
      return make("li", {}, button);
    }));
  }

  table() {
    const epochs = [...new Set(this.curves.flatMap((c) => c.points.map(([x]) => x)).filter((x) => Math.abs(x - Math.round(x)) < 1e-6))].sort((a, b) => a - b);
    const step = Math.ceil(epochs.length / 200);
    const rows = epochs.filter((_, i) => (epochs.length - 1 - i) % step === 0);
    const value = (curve, x) => curve.points.find((p) => p[0] === x)?.[1];
    return make("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": `${this.title}, table`},
      make("table", {}, make("thead", {}, make("tr", {}, make("th", {scope: "col", class: "number"}, "epoch"),
             this.curves.map((c) => make("th", {scope: "col", class: "number"}, named(c.label))))),
        make("tbody", {}, rows.map((x) => make("tr", {}, make("th", {scope: "row", class: "number"}, String(Math.round(x))),
             this.curves.map((c) => make("td", {class: "number"}, figure(value(c, x)))))))));
  }

  listen() {
    const field = this.field;
    field.addEventListener("keydown", (event) => this.key(event));
    field.addEventListener("dblclick", () => this.look(0, this.end));
    field.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;  // else the page scrolls
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.x(event));
    }, {passive: false});
    field.addEventListener("pointerdown", (event) => this.press(event));
    field.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) field.addEventListener(name, (event) => this.release(event));
    field.addEventListener("pointerleave", () => this.fingers.size === 0 && this.read(null));
  }

  // The epoch under a pointer.
  x(event) {
    const box = this.field.getBoundingClientRect();
    const share = (event.clientX - box.left - kLeft) / (box.width - kLeft - kRight);
    return this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
  }

  press(event) {
    if (event.button > 0) return;
    this.field.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, {start: this.x(event), now: this.x(event), touch: event.pointerType === "touch"});
    this.anchor = [...this.fingers.values()].map((f) => f.now);
  }
  move(event) {
    const finger = this.fingers.get(event.pointerId), x = this.x(event);
    if (!finger) return this.read(x);
    finger.now = x;
    if (this.fingers.size === 2) return this.pinch();
    if (finger.touch && (this.from > 0 || this.to < this.end)) return this.look(this.from + finger.start - x, this.to + finger.start - x);
    this.read(x);
  }
  pinch() {
    const [a, b] = [...this.fingers.values()].map((f) => f.now), [p, q] = this.anchor;
    const scale = Math.min(8, Math.max(0.125, Math.abs(p - q) / Math.max(1e-9, Math.abs(a - b))));
    const middle = (p + q) / 2;
    this.look(middle - (middle - this.from) * scale, middle + (this.to - middle) * scale);
    this.anchor = [...this.fingers.values()].map((f) => f.now);
  }
  release(event) {
    const finger = this.fingers.get(event.pointerId);
    this.fingers.delete(event.pointerId);
    if (!finger || finger.touch || event.type === "pointercancel") return;
    const low = Math.min(finger.start, finger.now), high = Math.max(finger.start, finger.now);
    if (high - low > 0.02 * (this.to - this.from)) this.look(low, high);
  }

  key(event) {
    const span = this.to - this.from, step = event.shiftKey ? 0 : 1;
    const left = event.key === "ArrowLeft", right = event.key === "ArrowRight";
    if (left || right) {
      if (step === 0) this.look(this.from + (right ? 0.2 : -0.2) * span, this.to + (right ? 0.2 : -0.2) * span);
      else this.step(right);
    } else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0" || event.key === "Escape") this.look(0, this.end);
    else return;
    event.preventDefault();
  }

  // To the next point of the curve with the most of them.
  step(right) {
    const all = this.curves.filter((c) => c.shown).map((c) => c.points).sort((a, b) => b.length - a.length)[0] ?? [];
    const seen = all.filter(([x]) => x >= this.from && x <= this.to).map(([x]) => x);
    if (seen.length === 0) return;
    const at = this.at ?? (right ? -Infinity : Infinity);
    const next = right ? seen.find((x) => x > at) : seen.findLast((x) => x < at);
    this.read(next ?? (right ? seen[seen.length - 1] : seen[0]));
  }

  zoom(factor, around = this.at ?? (this.from + this.to) / 2) {
    this.look(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }
  look(from, to) {
    const span = Math.min(this.end, Math.max(to - from, this.end / 1000));
    this.from = Math.min(Math.max(0, from), this.end - span);
    this.to = this.from + span;
    this.paint();
  }

  read(x) {
    this.at = x;
    this.paint();
    this.readout.replaceChildren();
    if (x === null) return;
    const seen = this.curves.filter((c) => c.shown).map((c) => [c, nearestPoint(c.points, x)]);
    const texts = seen.flatMap(([c, p]) => [" · ", named(c.label), " ", make("b", {}, figure(p[1]))]);
    this.readout.append(`epoch ${x.toFixed(2)}`, ...texts);
  }

  // What the y axis shows: the visible points with some air; a curve that diverges leaves at the top.
  range() {
    let low = Infinity, high = -Infinity;
    for (const {points} of this.curves.filter((c) => c.shown)) {
      for (const [x, y] of points) {
        if (x < this.from - 1e-9 || x > this.to + 1e-9) continue;
        low = Math.min(low, y);
        high = Math.max(high, y);
      }
    }
    if (low > high) return [0, 1];
    high = Math.min(high, Math.max(10, low * 2));
    const air = Math.max(0.08 * (high - low), 0.02 * high, 1e-6);
    return [Math.max(0, low - air), Math.min(high + air, this.top ?? Infinity)];
  }

  paint() {
    const width = Math.max(200, this.field.clientWidth), height = width < 480 ? 230 : 290;
    const [bottom, top] = this.range();
    const right = width - kRight, floor = height - kBottom;
    const x = (value) => kLeft + (value - this.from) / (this.to - this.from) * (right - kLeft);
    const y = (value) => floor - (value - bottom) / (top - bottom) * (floor - kTop);
    const place = ([a, b]) => `${x(a).toFixed(1)} ${Math.max(-1e4, Math.min(1e4, y(b))).toFixed(1)}`;
    const path = (pieces) => pieces.map((piece) => `M${piece.map(place).join("L")}${piece.length === 1 ? "h0" : ""}`).join("");
    const across = ticksOf(this.from, this.to, Math.max(2, Math.floor(width / 70)), this.to - this.from > 3);
    const up = ticksOf(bottom, top, 6, false);
    const clip = `clip-${this.title.replace(/\W/g, "")}`;
    const inside = draw("g", {"clip-path": `url(#${clip})`});
    if (this.band) {
      // Where a deviation is no number there is no band.
      const {low, high} = this.band;
      for (let i = 0; i < Math.min(low.length, high.length); ++i) {
        inside.append(draw("path", {class: "spread",
          d: `M${low[i].map(place).join("L")}L${[...high[i]].reverse().map(place).join("L")}z`}));
      }
    }
    for (const curve of this.curves.filter((c) => c.shown)) inside.append(draw("path", {class: `curve ${curve.style}`, d: path(curve.pieces)}));
    if (this.at !== null) {
      inside.append(draw("path", {class: "cursor", d: `M${x(this.at)} ${kTop}V${floor}`}));
      for (const curve of this.curves.filter((c) => c.shown)) {
        const [cx, cy] = place(nearestPoint(curve.points, this.at)).split(" ");
        inside.append(draw("circle", {class: `dot ${curve.style}`, cx, cy, r: 4}));
      }
    }
    const drag = this.fingers.size === 1 ? [...this.fingers.values()][0] : null;
    if (drag && !drag.touch && drag.now !== drag.start) {
      inside.append(draw("rect", {class: "chosen", x: x(Math.min(drag.start, drag.now)), width: Math.abs(x(drag.now) - x(drag.start)), y: kTop, height: floor - kTop}));
    }
    const lasts = this.curves.map((c) => `${c.label} ${figure(c.points[c.points.length - 1][1])}`).join(", ");
    this.field.replaceChildren(draw("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${this.title} over epochs; last values: ${lasts}`},
      draw("clipPath", {id: clip}, draw("rect", {x: kLeft, y: kTop - 3, width: right - kLeft + 3, height: floor - kTop + 4})),
      up.ticks.map((v) => draw("path", {class: "grid", d: `M${kLeft} ${y(v)}H${right}`})),
      draw("path", {class: "axis", d: `M${kLeft} ${floor}H${right}`}),
      up.ticks.map((v) => draw("text", {x: kLeft - 8, y: y(v) + 4, "text-anchor": "end"}, v.toFixed(up.digits))),
      across.ticks.map((v) => draw("text", {x: x(v), y: floor + 18, "text-anchor": "middle"}, v.toFixed(across.digits))),
      draw("text", {x: (kLeft + right) / 2, y: height - 2, "text-anchor": "middle"}, "epoch"), inside));
  }
}
