// The page: its sections in their order.

const runs = data.runs, several = runs.length > 1;
const ended = runs.filter((run) => run.result), judged = runs.filter((run) => run.evaluation);

// A mean, and its deviation in smaller letters.
function spreadParts(values, text) {
  const {mean, deviation} = spreadOf(values);
  return [text(mean), isNumber(deviation) ? make("span", {class: "deviation"}, ` ± ${text(deviation)}`) : null];
}

function cards() {
  const of = (key) => ended.map((run) => run.result[key]);
  const measured = (key) => judged.map((run) => run.evaluation[key]);
  const one = several ? null : runs[0].evaluation;
  const accuracies = runs.map((run) => run.result?.test_acc ?? run.evaluation?.accuracy);
  const list = [];
  const card = (label, value, more) => isNumber(spreadOf(value[0]).mean) && list.push(make("li", {}, make("span", {class: "label"}, label),
    make("span", {class: "value"}, ...spreadParts(...value)), more ? make("span", {class: "more"}, more) : null));
  card("Test accuracy", [accuracies, fixed], one ? `95 %: ${fixed(one.low)} to ${fixed(one.high)}` : several ? `${plural(spreadOf(accuracies).n, "run")}, mean ± deviation` : null);
  card("Validation accuracy", [of("val_acc"), fixed]);
  card("Top-5 accuracy", [measured("top5"), fixed]);
  card("Mean F1", [measured("f1"), fixed], "over the classes");
  card("Test loss", [measured("loss"), fixed]);
  card("Train accuracy", [of("train_acc"), fixed], "last epoch, running");
  card("Train loss", [of("loss"), fixed], "last epoch, running");
  card("Calibration error", [measured("calibration"), fixed], "0 is perfect");
  card("Speed", [of("rate"), (v) => (v < 100 ? v.toFixed(1) : Math.round(v).toLocaleString("en-US"))], `examples/s; ${spreadText(of("seconds"), duration)}`);
  document.getElementById("main").append(make("ul", {class: "cards", "aria-label": "Figures"}, list));
  const going = runs.filter((run) => !run.result), stopped = ended.filter((run) => !run.result.complete);
  for (const [which, text] of [[going, "has not ended: its curves are those so far"], [stopped, "was stopped before its end"]]) {
    for (const run of which) document.getElementById("main").append(make("p", {class: "note"}, named(run.name), ` ${text}.`));
  }
}

function runsTable() {
  if (!several) return;
  const figureOf = (label, key, text = fixed) => ({label, number: true, value: (run) => run.result?.[key] ?? NaN,
    cell: (run) => (run.mean ? spreadText(ended.map((r) => r.result[key]), text) : text(run.result?.[key]))});
  section("runs", "Runs", "Click on a column's head to sort. The last line is the mean ± standard deviation.").append(sortedTable({
    label: "Runs", rows: runs, last: ended.length > 1 ? [{mean: true}] : [],
    columns: [{label: "run", value: (run) => run.name, cell: (run) => (run.mean ? "mean ± deviation" : named(run.name))},
      figureOf("test acc", "test_acc"), ...(ended.some((run) => isNumber(run.result.val_acc)) ? [figureOf("val acc", "val_acc")] : []), figureOf("train acc", "train_acc"), figureOf("train loss", "loss"),
      {label: "mean F1", number: true, value: (run) => run.evaluation?.f1 ?? NaN, cell: (run) => (run.mean ? spreadText(judged.map((r) => r.evaluation.f1)) : fixed(run.evaluation?.f1))},
      figureOf("epochs", "epochs", (v) => (isNumber(v) ? String(Math.round(10 * v) / 10) : "–")), figureOf("examples/s", "rate", (v) => fixed(v, 1)), figureOf("time", "seconds", duration)]}));
}

function curvesSection() {
  const last = (run) => run.curves.flat(2).reduce((most, [x]) => Math.max(most, x), Math.max(0, run.epochs));
  const end = Math.max(1, ...runs.map((run) => Math.ceil(last(run) - 1e-9)));
  const band = (k) => (several && data.low[k].length > 0 ? {low: data.low[k], high: data.high[k]} : null);
  const mean = (k) => (several && data.mean[k].length > 0 ? [{label: "mean", style: "ink mean", pieces: data.mean[k]}] : []);
  const each = (k, extra = "") => runs.map((run, i) => ({label: run.name, style: `thin c${i % 8} ${extra}`, pieces: run.curves[k]}));
  const charts = several
    ? [{title: data.validated ? "Validation accuracy" : "Test accuracy", curves: [...mean(2), ...each(2)], band: band(2), top: 1}, {title: "Train loss", curves: [...mean(0), ...each(0)], band: band(0)},
       {title: "Train accuracy", curves: [...mean(1), ...each(1)], band: band(1), top: 1}]
    : [{title: "Accuracy", top: 1, curves: [{label: data.validated ? "val acc" : "test acc", style: "c2", pieces: runs[0].curves[2]}, {label: "train acc", style: "c1 dashed", pieces: runs[0].curves[1]}]},
       {title: "Train loss", curves: [{label: "train loss", style: "c0", pieces: runs[0].curves[0]}]}];
  const shown = charts.filter((chart) => chart.curves.some((curve) => curve.pieces.length > 0));
  if (shown.length === 0) return;
  section("curves", "Curves", several ? "The band is one standard deviation to both sides of the mean. Drag over a part, or use two fingers or the keys + − 0, to zoom."
    : "Drag over a part, or use two fingers or the keys + − 0, to zoom; a name hides and shows its curve.")
    .append(make("div", {class: "two"}, shown.map((chart) => new Chart({...chart, end}).element)));
}

function settingsSection() {
  if (runs.every((run) => run.settings.length === 0)) return;
  section("settings", "Settings", "All settings of the run, as its config.toml has them.").append(...settingsTable(runs).filter(Boolean));
}

function dataSection(set, i) {
  const watched = set.validation > 0;
  const size = ([least, median, most]) => (least === most ? `${most}` : `${least} to ${most}, median ${median}`);
  const body = section(i === 0 ? "data" : `data-${i + 1}`, data.sets.length > 1 ? `Data ${i + 1}` : "Data");
  body.append(make("p", {}, named(set.name), `: ${count(set.train)} pictures to train on, ${watched ? `${count(set.validation)} to validate on, ` : ""}${count(set.test)} to test on, ${plural(set.classes.length, "class", "classes")}. `
    + `Height ${size(set.height)} pixels, width ${size(set.width)}.`),
    make("p", {class: "note"}, `${plural(set.duplicates, "duplicate")}, ${plural(set.in_classes, "picture")} in more than one class, ${plural(set.overlaps, "picture")} of the test in the training set too${watched ? `, ${plural(set.val_overlaps, "picture")} of the validation set in one of these` : ""}.`));
  const pictures = new Map();
  for (const [k, file, uri] of set.samples) pictures.set(k, [...(pictures.get(k) ?? []), make("img", {src: uri, class: "small", title: file, loading: "lazy", alt: file || set.classes[k][0]})]);
  const most = Math.max(1, ...set.classes.map((of) => of[1]));
  body.append(sortedTable({label: "Classes of the data set", rows: set.classes.map(([name, train, test, val], k) => ({k, name, train, test, val})),
    columns: [{label: "class", value: (of) => of.name, cell: (of) => named(of.name)},
      {label: "train", number: true, value: (of) => of.train, cell: (of) => meter(of.train / most, count(of.train))},
      ...(watched ? [{label: "val", number: true, value: (of) => of.val, cell: (of) => count(of.val)}] : []),
      {label: "test", number: true, value: (of) => of.test, cell: (of) => count(of.test)},
      ...(set.samples.length > 0 ? [{label: "examples", value: (of) => of.k, cell: (of) => make("span", {class: "strip"}, pictures.get(of.k) ?? [])}] : [])]}));
}

// What depends on one run: classes, matrix, mistakes, calibration; of several runs one is chosen.
function answerSections() {
  if (judged.length === 0) return;
  const parts = [["classes", "Classes", "A column's head sorts.", (set, e) => [classTable(set, e)]],
    ["confusion", "Confusion matrix", "A row for each true class, a column for each answer. A cell opens its pictures; the arrow keys go from cell to cell.", confusion],
    ["mistakes", "Worst mistakes", "Wrong answers of which the network was surest.", (set, e) => [worst(set, e)]],
    ["calibration", "Calibration", "Whether its probabilities can be believed.", (set, e) => [calibration(e)]]];
  const pickers = [];
  const bodies = parts.map(([id, title, intro]) => {
    const body = section(id, title, intro), content = make("div");
    if (judged.length > 1) {
      const picker = make("select", {id: `run-of-${id}`, onchange: () => show(Number(picker.value))}, judged.map((run, i) => make("option", {value: i}, run.name)));
      pickers.push(picker);
      body.append(make("div", {class: "bar"}, make("label", {for: `run-of-${id}`}, "Run"), picker));
    }
    body.append(content);
    return content;
  });
  function show(i) {
    for (const picker of pickers) picker.value = String(i);
    const run = judged[i];
    parts.forEach(([, , , build], part) => bodies[part].replaceChildren(...build(data.sets[run.set], run.evaluation).filter(Boolean)));
  }
  show(0);
}

function speedSection() {
  if (ended.length === 0) return;
  const reached = (run) => (run.flops ? run.result.rate * run.flops / 1e9 : NaN);
  const columns = [["examples/s", (run) => fixed(run.result.rate, 1)], ["time", (run) => duration(run.result.seconds)], ["device", (run) => run.result.device],
    ["processor", (run) => named(run.result.cpu)], ["threads", (run) => String(run.result.threads)], ["instruction set", (run) => run.result.isa],
    ["GFLOP/s", (run) => fixed(reached(run), 0)], ["of the peak", (run) => (run.peak ? `${percent(reached(run) / run.peak)} of ${fixed(run.peak, 0)}` : "not measured")]];
  const body = section("speed", "Speed", "Of the steps of the whole training. FLOPs are those of direct convolutions, so that Winograd's may go beyond the peak.");
  body.append(make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Speed"}, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "run"), columns.map(([label]) => make("th", {scope: "col"}, label)))),
    make("tbody", {}, ended.map((run) => make("tr", {}, make("th", {scope: "row"}, named(run.name)), columns.map(([, text]) => make("td", {}, text(run)))))))));
  if (!ended.some((run) => run.peak)) body.append(make("p", {class: "note"}, "resnet report RUN --peak measures, on the processor that trained, what it can do at most; it takes a second."));
}

cards();
runsTable();
curvesSection();
answerSections();
data.sets.forEach(dataSection);
settingsSection();
speedSection();
document.getElementById("footer").append(make("p", {}, `Made by resnet ${data.version}. This page loads nothing and sends nothing.`),
  ...ended.map((run) => make("p", {class: "note"}, named(run.name), ": weights ", make("code", {}, run.result.weights.slice(0, 16)), `, seed ${run.result.seed}`)));
