"use strict";
// What the other scripts share: making elements, and figures as text. Text from the data only ever becomes text
// nodes and attributes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A name that a file chose: its direction is its own.
const named = (text) => make("bdi", {}, text);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const fixed = (value, digits = 3) => (isNumber(value) ? value.toFixed(digits) : "–");
const percent = (value, digits = 1) => (isNumber(value) ? `${(100 * value).toFixed(digits)} %` : "–");
const count = (value) => (isNumber(value) ? value.toLocaleString("en-US") : "–");
const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// Three digits after the point, fewer of what is large.
function figure(value) {
  if (!isNumber(value)) return "–";
  return Math.abs(value) < 1000 ? value.toFixed(3) : value.toPrecision(3);
}

function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), rest = String(Math.floor(seconds % 60)).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${rest} min` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest} h`;
}

// Mean and standard deviation (of the sample) of what was measured.
function spreadOf(values) {
  const known = values.filter(isNumber), n = known.length;
  const mean = n > 0 ? known.reduce((sum, v) => sum + v, 0) / n : NaN;
  const squares = known.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return {n, mean, deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : NaN};
}
function spreadText(values, text = fixed) {
  const {mean, deviation} = spreadOf(values);
  return isNumber(deviation) ? `${text(mean)} ± ${text(deviation)}` : text(mean);
}

// A section of the page and its place in the list of them; returns it.
function section(id, title, intro) {
  const body = make("section", {id, "aria-labelledby": `${id}-title`}, make("h2", {id: `${id}-title`}, title),
                    intro ? make("p", {}, intro) : null);
  document.getElementById("main").append(body);
  document.getElementById("sections").append(make("li", {}, make("a", {href: `#${id}`}, title)));
  return body;
}

// Built when it is opened for the first time.
function unfolded(title, build) {
  const details = make("details", {}, make("summary", {}, title));
  details.addEventListener("toggle", () => details.open && details.children.length === 1 && details.append(build()));
  return details;
}
