#include "serve/page.h"

#include <fmt/core.h>

#include <cstdint>
#include <string_view>

#include "base/sha256.h"
#include "base/text.h"

namespace resnet::serve {
namespace {

// Colours have a contrast of at least 4.5 to their ground, 3 where they are no text (WCAG 2.2 AA).
constexpr std::string_view kStyle = R"CSS(
:root { color-scheme: light dark; --ground: #fff; --raised: #f3f5f7; --text: #16191d; --quiet: #56606b;
  --line: #c4ccd4; --edge: #7a8692; --accent: #0b62a8; --on-accent: #fff; --bar: #2f7fc1; --bad: #a4262c; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171a; --raised: #1f2429; --text: #eceff2; --quiet: #a6b0ba; --line: #3a424a;
    --edge: #808b96; --accent: #7cbcf2; --on-accent: #0d1317; --bar: #4d95d1; --bad: #ff8f8f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
#drop { border: 2px dashed var(--edge); border-radius: 12px; background: var(--raised); padding: 2rem 1rem;
  text-align: center; }
#drop.over { border-style: solid; border-color: var(--accent); }
#drop p { margin: 0 0 1rem; }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; justify-content: center; }
button { font: inherit; min-height: 44px; padding: .5rem 1.25rem; border-radius: 8px; border: 1px solid var(--accent);
  background: var(--accent); color: var(--on-accent); cursor: pointer; }
button.plain { background: transparent; color: var(--accent); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
#photo { display: none; }
@media (pointer: coarse) { #photo { display: inline-block; } #drop p { display: none; } }
.bar { display: flex; justify-content: space-between; align-items: center; gap: 1rem; min-height: 44px; margin: 1rem 0 .5rem; }
#status { margin: 0; color: var(--quiet); }
article { display: grid; grid-template-columns: 9rem 1fr; gap: 1rem; padding: 1rem 0; border-top: 1px solid var(--line); }
article img { width: 9rem; height: 9rem; object-fit: contain; background: var(--raised); border-radius: 8px; }
article h2 { font-size: 1rem; font-weight: 600; margin: 0 0 .5rem; overflow-wrap: anywhere; }
article p { margin: 0; color: var(--quiet); }
article p.bad { color: var(--bad); }
ol { list-style: none; margin: 0; padding: 0; }
li { display: grid; grid-template-columns: 1fr auto; column-gap: 1rem; margin-bottom: .5rem; }
li:first-child { font-weight: 600; }
li span { overflow-wrap: anywhere; }
li b { font-weight: inherit; font-variant-numeric: tabular-nums; }
li svg { grid-column: 1 / -1; width: 100%; height: 8px; border-radius: 4px; background: var(--raised); display: block; }
li rect { fill: var(--bar); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 30rem) {
  article { grid-template-columns: 5rem 1fr; }
  article img { width: 5rem; height: 5rem; }
}
)CSS";

constexpr std::string_view kScript = R"JS(
'use strict';
const byId = (id) => document.getElementById(id);
const drop = byId('drop'), list = byId('list'), state = byId('status'), clear = byId('clear');
const most = 4, kept = 200;
const waiting = [];
let running = 0, answered = 0, asked = 0;

const element = (name, text, style) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
};
const percent = (p) => (100 * p).toFixed(1) + ' %';

function bar(probability) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg'), rect = document.createElementNS(space, 'rect');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('viewBox', '0 0 100 1');
  rect.setAttribute('width', String(100 * probability));
  rect.setAttribute('height', '1');
  svg.append(rect);
  return svg;
}

function show(card, answer) {
  card.note.remove();
  if (answer.error) {
    card.body.append(element('p', answer.error, 'bad'));
    return card.name + ': ' + answer.error;
  }
  const labels = element('ol');
  for (const { label, probability } of answer.top) {
    const item = element('li');
    item.append(element('span', label), element('b', percent(probability)), bar(probability));
    labels.append(item);
  }
  card.body.append(labels);
  return card.name + ': ' + answer.label + ', ' + percent(answer.probability);
}

async function ask(file) {
  for (;;) {
    const response = await fetch('/predict', { method: 'POST', body: file });
    if (response.status === 503) {
      const seconds = Number(response.headers.get('Retry-After')) || 1;
      await new Promise((go) => setTimeout(go, 1000 * seconds));
      continue;
    }
    const answer = await response.json();
    return Array.isArray(answer) ? answer[0] : answer;
  }
}

async function next() {
  if (running >= most || waiting.length === 0) return;
  const card = waiting.shift();
  running += 1;
  let answer;
  try {
    answer = await ask(card.file);
  } catch (error) {
    answer = { error: 'the server did not answer' };
  }
  running -= 1;
  answered += 1;
  const said = show(card, answer);
  state.textContent = (answered < asked ? answered + ' of ' + asked + ' pictures. ' : '') + said;
  next();
}

function add(files) {
  for (const file of files) {
    const card = { file, name: file.name || 'picture', article: element('article'), body: element('div'),
      note: element('p', 'waiting …') };
    const image = element('img');
    image.alt = '';
    image.src = URL.createObjectURL(file);
    image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
    card.body.append(element('h2', card.name), card.note);
    card.article.append(image, card.body);
    list.prepend(card.article);
    waiting.push(card);
    asked += 1;
    while (list.childElementCount > kept) list.lastElementChild.remove();
  }
  clear.hidden = list.childElementCount === 0;
  for (let i = 0; i < most; i += 1) next();
}

for (const [button, input] of [['choose', 'files'], ['photo', 'camera']]) {
  byId(button).addEventListener('click', () => byId(input).click());
  byId(input).addEventListener('change', (event) => { add(event.target.files); event.target.value = ''; });
}
clear.addEventListener('click', () => {
  waiting.length = 0;
  asked = answered + running;
  list.replaceChildren();
  state.textContent = '';
  clear.hidden = true;
  byId('choose').focus();
});
document.addEventListener('paste', (event) => add(event.clipboardData.files));
document.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('over'); });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) drop.classList.remove('over'); });
document.addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  add(event.dataTransfer.files);
});
)JS";

}  // namespace

Page page_of(const std::string& title) {
  const std::string name = xml_text(title);
  Page page;
  page.html = fmt::format(
      R"HTML(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{0}</title>
<link rel="icon" href="data:,">
<style>{1}</style>
</head>
<body>
<main>
<h1>{0}</h1>
<div id="drop">
<p>Drop pictures here, or paste one.</p>
<div class="buttons">
<button type="button" id="choose">Choose pictures</button>
<button type="button" id="photo" class="plain">Take a photograph</button>
</div>
<input type="file" id="files" accept="image/*" multiple hidden aria-label="Pictures">
<input type="file" id="camera" accept="image/*" capture="environment" hidden aria-label="Photograph">
</div>
<noscript><p>This page needs JavaScript; programs send pictures to POST /predict.</p></noscript>
<div class="bar"><p id="status" role="status"></p><button type="button" id="clear" class="plain" hidden>Clear</button></div>
<section id="list" aria-label="Answers"></section>
</main>
<script>{2}</script>
</body>
</html>
)HTML",
      name, kStyle, kScript);
  page.policy = fmt::format(
      "default-src 'none'; script-src '{}'; style-src '{}'; img-src blob: data:; connect-src "
      "'self'; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      policy_hash(kScript), policy_hash(kStyle));
  return page;
}

}  // namespace resnet::serve
