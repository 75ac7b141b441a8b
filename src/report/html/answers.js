// What a network answered: figures of its classes, the confusion matrix with the pictures behind it, the worst
// mistakes, calibration.

const kMostInMatrix = 40;  // classes that are drawn at once

const classOf = (set, k) => set.classes[k]?.[0] ?? `output ${k}`;

// An example with its picture: [number, probability of the answer, probability of the label].
function pictureOf(set, label, answer, [example, probability, ofLabel]) {
  const [file, uri] = set.pictures[example] ?? ["", null];
  const right = label === answer, name = file || `example ${example}`;
  const text = `${name}: ${classOf(set, label)}${right ? "" : `, taken for ${classOf(set, answer)}`}`;
  const image = uri ? make("img", {src: uri, alt: text, loading: "lazy", decoding: "async"}) : make("div", {class: "missing"}, "no picture");
  if (uri) image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth <= 48));
  return make("li", {}, make("figure", {title: text}, image, make("figcaption", {},
    make("b", {}, named(classOf(set, label))),
    right ? null : make("span", {class: "said"}, "→ ", named(classOf(set, answer))),
    right ? `sure by ${percent(probability)}` : `${percent(probability)}; true class ${percent(ofLabel)}`)));
}

function classTable(set, evaluation) {
  const rows = evaluation.classes.map(([examples, answered, hits], k) => ({k, examples, precision: answered > 0 ? hits / answered : NaN,
    recall: examples > 0 ? hits / examples : NaN, f1: examples + answered > 0 ? 2 * hits / (examples + answered) : NaN}));
  const share = (label, key) => ({label, number: true, value: (row) => row[key], cell: (row) => meter(row[key])});
  return sortedTable({
    label: "Figures of each class",
    columns: [
      {label: "class", value: (row) => classOf(set, row.k), cell: (row) => (row.mean ? "mean" : named(classOf(set, row.k)))},
      share("precision", "precision"), share("recall", "recall"), share("F1", "f1"),
      {label: "support", number: true, value: (row) => row.examples, cell: (row) => count(row.examples)}],
    rows, sorted: 3,
    last: [{mean: true, precision: evaluation.precision, recall: evaluation.recall, f1: evaluation.f1, examples: evaluation.examples}]});
}

// The classes that the matrix has room for: all of them, or those that are confused most.
function classesInMatrix(set, evaluation) {
  const all = set.classes.map((_, k) => k);
  if (all.length <= kMostInMatrix) return all;
  const wrong = new Array(all.length).fill(0);
  for (const [label, answer, n] of evaluation.cells) {
    if (label === answer) continue;
    wrong[label] += n;
    wrong[answer] += n;
  }
  return all.sort((a, b) => wrong[b] - wrong[a]).slice(0, kMostInMatrix).sort((a, b) => a - b);
}

function confusion(set, evaluation) {
  const kept = classesInMatrix(set, evaluation), many = kept.length > 20;
  const cells = new Map(evaluation.cells.map((cell) => [`${cell[0]},${cell[1]}`, cell]));
  const panel = make("div", {class: "panel", "aria-live": "polite", id: "behind"},
    make("p", {class: "note"}, "The pictures behind a cell stand here when it is chosen."));
  let chosen = null;

  function open(label, answer, button) {
    const [, , n, examples] = cells.get(`${label},${answer}`) ?? [label, answer, 0, []];
    chosen?.setAttribute("aria-pressed", "false");
    chosen = button;
    button.setAttribute("aria-pressed", "true");
    const of = evaluation.classes[label][0];
    const title = label === answer ? make("h3", {}, `${count(n)} of ${count(of)} `, named(classOf(set, label)), " were recognised")
      : make("h3", {}, `${count(n)} of ${count(of)} `, named(classOf(set, label)), " were taken for ", named(classOf(set, answer)));
    const which = label === answer ? "those of which the network was least sure" : "those of which it was surest";
    panel.replaceChildren(title,
      n === 0 ? make("p", {class: "note"}, label !== answer && evaluation.untold > 0
        ? `There are none, or no more than ${evaluation.untold}: so few are not in this page.` : "There are none.") : examples.length === 0 ? make("p", {class: "note"}, "Their pictures are not in this page.")
        : make("p", {class: "note"}, examples.length < n ? `${plural(examples.length, "picture")}: ${which}.` : ""),
      make("ul", {class: "pictures"}, examples.map((example) => pictureOf(set, label, answer, example))));
  }

  const buttons = kept.map((label) => kept.map((answer) => {
    const n = cells.get(`${label},${answer}`)?.[2] ?? 0, of = evaluation.classes[label][0];
    const button = make("button", {type: "button", tabindex: -1, "aria-pressed": "false", "aria-controls": "behind",
      class: n === 0 ? "empty" : label === answer ? "right" : "wrong", "--share": of > 0 ? Math.min(1, Math.max(0.1, (label === answer ? 1 : 1.8) * Math.sqrt(n / of))) : 0,
      "aria-label": `${classOf(set, label)}, answered ${classOf(set, answer)}: ${n} of ${of}`,
      title: `${classOf(set, label)} → ${classOf(set, answer)}: ${n} of ${of}`,
      onclick: () => open(label, answer, button)}, String(n));
    return button;
  }));
  const table = make("table", {class: `matrix${many ? " many" : ""}`, "aria-label": "Confusion matrix: a row for each true class, a column for each answer"},
    make("thead", {}, make("tr", {}, make("td"), kept.map((k) => make("th", {scope: "col"}, make("span", {}, named(classOf(set, k))))))),
    make("tbody", {}, kept.map((k, row) => make("tr", {}, make("th", {scope: "row", title: classOf(set, k)}, named(classOf(set, k))),
      buttons[row].map((button) => make("td", {}, button))))));
  // One stop of the Tab key; inside the arrow keys, Home and End go from cell to cell.
  let at = [0, 0];
  if (kept.length > 0) buttons[0][0].tabIndex = 0;
  table.addEventListener("focusin", (event) => {
    const row = buttons.findIndex((of) => of.includes(event.target));
    if (row < 0) return;
    buttons[at[0]][at[1]].tabIndex = -1;
    at = [row, buttons[row].indexOf(event.target)];
    event.target.tabIndex = 0;
  });
  table.addEventListener("keydown", (event) => {
    const last = kept.length - 1, [row, column] = at;
    const to = {ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
                Home: [row, 0], End: [row, last]}[event.key];
    if (!to) return;
    event.preventDefault();
    buttons[Math.min(last, Math.max(0, to[0]))][Math.min(last, Math.max(0, to[1]))].focus();
  });

  const pairs = evaluation.cells.filter(([label, answer]) => label !== answer).slice(0, 12);
  const list = pairs.length === 0 ? null : unfolded("Most frequent confusions", () => sortedTable({
    label: "Most frequent confusions",
    columns: [{label: "class", value: (c) => classOf(set, c[0]), cell: (c) => named(classOf(set, c[0]))},
              {label: "taken for", value: (c) => classOf(set, c[1]), cell: (c) => named(classOf(set, c[1]))},
              {label: "examples", number: true, value: (c) => c[2], cell: (c) => count(c[2])},
              {label: "share of the class", number: true, value: (c) => c[2] / evaluation.classes[c[0]][0], cell: (c) => percent(c[2] / evaluation.classes[c[0]][0])},
              {label: "pictures", value: (c) => c[3].length, cell: (c) => make("button", {type: "button", onclick: (event) => {
                open(c[0], c[1], event.target);
                panel.scrollIntoView({block: "nearest"});
              }}, "show")}],
    rows: pairs, sorted: 2, descending: true}));
  return [
    kept.length < set.classes.length ? make("p", {class: "note"}, `The ${kept.length} of ${count(set.classes.length)} classes that are confused most.`) : null,
    make("div", {class: "beside"}, make("div", {class: "scroll"}, table), panel), list];
}

function calibration(evaluation) {
  const size = 300, left = 40, floor = size - 34, top = 8, right = size - 8;
  const x = (v) => left + v * (right - left), y = (v) => floor - v * (floor - top);
  const bins = evaluation.bins.map(([n, hits, mean], i) => ({n, mean, share: n > 0 ? hits / n : NaN, low: i / 15, high: (i + 1) / 15}));
  const most = Math.max(1, ...bins.map((bin) => bin.n));
  const picture = draw("svg", {viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `Reliability diagram: calibration error ${fixed(evaluation.calibration)}`},
    [0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((v) => [draw("path", {class: "grid", d: `M${left} ${y(v)}H${right}`}),
      draw("text", {x: left - 6, y: y(v) + 4, "text-anchor": "end"}, v.toFixed(1)), draw("text", {x: x(v), y: floor + 16, "text-anchor": "middle"}, v.toFixed(1))]),
    bins.filter((bin) => bin.n > 0).map((bin) => draw("rect", {class: "hits", x: x(bin.low) + 1, width: x(bin.high) - x(bin.low) - 2, y: y(bin.share), height: floor - y(bin.share), "fill-opacity": 0.25 + 0.65 * Math.sqrt(bin.n / most)},
      draw("title", {}, `${bin.low.toFixed(2)} to ${bin.high.toFixed(2)}: ${percent(bin.share)} of ${plural(bin.n, "answer")} are right, ${percent(bin.mean)} were promised`))),
    draw("path", {class: "axis", "stroke-dasharray": "5 4", d: `M${x(0)} ${y(0)}L${x(1)} ${y(1)}`}),
    bins.filter((bin) => bin.n > 0).map((bin) => draw("circle", {class: "dot ink", cx: x(bin.mean), cy: y(bin.share), r: 3.5})),
    draw("text", {x: (left + right) / 2, y: size - 2, "text-anchor": "middle"}, "probability of the answer"));
  const table = () => make("div", {class: "scroll"}, make("table", {},
    make("thead", {}, make("tr", {}, ["probability", "answers", "mean probability", "right"].map((text) => make("th", {scope: "col", class: "number"}, text)))),
    make("tbody", {}, bins.map((bin) => make("tr", {}, make("th", {scope: "row", class: "number"}, `${bin.low.toFixed(2)}–${bin.high.toFixed(2)}`),
      [count(bin.n), percent(bin.mean), percent(bin.share)].map((text) => make("td", {class: "number"}, text)))))));
  return make("div", {class: "two"}, make("div", {class: "chart reliability"}, picture),
    make("div", {}, make("p", {}, "A bar is the share of right answers among those of about the same probability, the darker the more there are. On the dashed line "
      + "the network is as often right as it says."),
      make("p", {}, "Expected calibration error: ", make("b", {class: "number"}, fixed(evaluation.calibration, 4)), " (15 bins)."), unfolded("As a table", table)));
}

function worst(set, evaluation) {
  if (evaluation.worst.length === 0) return make("p", {}, "There are none.");
  const list = make("ul", {class: "pictures"}, evaluation.worst.map(([label, answer, example]) => pictureOf(set, label, answer, example)));
  const most = 24, later = [...list.children].slice(most);
  if (later.length === 0) return list;
  for (const item of later) item.hidden = true;
  const more = make("button", {type: "button", onclick: () => {
    for (const item of later) item.hidden = false;
    more.remove();
  }}, `Show all ${list.children.length}`);
  return make("div", {}, list, make("p", {}, more));
}
