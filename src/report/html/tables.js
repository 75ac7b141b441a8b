// Tables that sort by a click or a key on the head of a column.

const kMostRows = 100;  // shown at first

// columns: [{label, number, value(row) to sort by, cell(row) to show}], the first names the row. `sorted` is the
// column by which it stands at first, or -1 for the order of the rows.
function sortedTable({label, columns, rows, sorted = -1, descending = false, last = []}) {
  const state = {column: sorted, descending, all: rows.length <= kMostRows};
  const heads = columns.map((column, i) => make("th", {scope: "col", class: column.number ? "number" : null},
    make("button", {type: "button", class: "plain", onclick: () => {
      state.descending = state.column === i ? !state.descending : Boolean(column.number);
      state.column = i;
      show();
    }}, column.label)));
  const body = make("tbody"), foot = make("tfoot");
  const more = make("button", {type: "button", onclick: () => { state.all = true; show(); }}, `Show all ${count(rows.length)} rows`);
  const line = (row, style) => make("tr", {class: style}, columns.map((column, i) => {
    const content = column.cell(row);
    return i === 0 ? make("th", {scope: "row"}, content) : make("td", {class: column.number ? "number" : null}, content);
  }));

  function show() {
    const column = columns[state.column], order = state.descending ? -1 : 1;
    const compare = (a, b) => {
      const x = column.value(a), y = column.value(b);
      if (typeof x === "string") return order * x.localeCompare(y);
      if (!isNumber(x) || !isNumber(y)) return isNumber(y) - isNumber(x);  // what was not measured comes last
      return order * (x - y);
    };
    const ordered = column ? [...rows].sort(compare) : rows;
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== state.column ? "none" : state.descending ? "descending" : "ascending"));
    body.replaceChildren(...ordered.slice(0, state.all ? rows.length : kMostRows).map((row) => line(row, null)));
    more.hidden = state.all;
  }

  foot.append(...last.map((row) => line(row, "mean")));
  show();
  const scroll = make("div", {class: `scroll${rows.length > 14 ? " tall" : ""}`, tabindex: 0, role: "region", "aria-label": label},
    make("table", {"aria-label": label}, make("thead", {}, make("tr", {}, heads)), body, last.length > 0 ? foot : null));
  return make("div", {}, scroll, more.hidden ? null : make("p", {}, more));
}

// A share as a bar with its number.
function meter(share, text = fixed(share)) {
  if (!isNumber(share)) return "–";
  return make("span", {}, make("span", {class: "meter", "aria-hidden": "true"}, make("span", {"--share": `${100 * Math.min(1, share)}%`})), text);
}

// Settings of runs side by side: those first in which they differ.
function settingsTable(runs) {
  const names = [...new Set(runs.flatMap((run) => run.settings.map(([name]) => name)))];
  const values = runs.map((run) => new Map(run.settings));
  const differs = (name) => new Set(values.map((of) => of.get(name))).size > 1;
  const ordered = [...names.filter(differs), ...names.filter((name) => !differs(name))];
  const body = make("tbody", {}, ordered.map((name) => make("tr", {class: differs(name) ? "differs" : null},
    make("th", {scope: "row"}, make("code", {}, name)), values.map((of) => make("td", {}, named(of.get(name) ?? "–"))))));
  const found = make("span", {class: "note", "aria-live": "polite"});
  const search = make("input", {type: "search", placeholder: "Filter by name", "aria-label": "Filter the settings by name", oninput: () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of body.children) shown += !(row.hidden = !row.firstChild.textContent.includes(wanted));
    found.textContent = plural(shown, "setting");
  }});
  const count = ordered.filter(differs).length;
  return [
    make("div", {class: "bar"}, search, found),
    runs.length > 1 ? make("p", {class: "note"}, count > 0 ? `${plural(count, "setting differs", "settings differ")} between the runs and stand first.` : "The runs have the same settings.") : null,
    make("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Settings"}, make("table", {class: "settings"},
      make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "setting"), runs.map((run) => make("th", {scope: "col"}, runs.length > 1 ? named(run.name) : "value")))), body))];
}
