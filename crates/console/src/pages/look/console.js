'use strict';
// Parts of pages that change while people look, and keys. Every page works without this script.
(() => {
const page = document.querySelector('.menu')?.dataset ?? {};
const policy = window.trustedTypes?.createPolicy('gatepost', { createHTML: (html) => html });
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const fill = (element, html) => { element.innerHTML = policy ? policy.createHTML(html) : html; };

// ── Parts ──
const ROW = '[data-row]';
const POINTED = ':is(a, button, summary, input, select, label):hover';
const OPEN = 'details[open], dialog[open], input:checked';
const waiting = new Map();

// Its reader is in the middle of something: the focus, a selection, the pointer or a menu is in it.
const isInUse = (part) => {
  const selection = getSelection();
  return part.contains(document.activeElement)
    || (!selection.isCollapsed && selection.containsNode(part, true))
    || one(OPEN, part) !== null || one(POINTED, part) !== null;
};

// What has the pointer or the focus stays where it is on the screen.
const inPlace = (change) => {
  const focus = document.activeElement === document.body ? null : document.activeElement;
  const anchor = one(`main ${POINTED}`) ?? focus;
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (anchor?.isConnected) scrollBy(0, anchor.getBoundingClientRect().top - before);
};

const parsed = (html) => {
  const template = document.createElement('template');
  fill(template, html);
  return template;
};

// New rows push no row away: a button says how many there are, and shows them.
const offer = (part, count, html) => {
  let button = part.previousElementSibling;
  if (!button?.matches('button.new')) {
    button = document.createElement('button');
    button.className = 'new';
    part.before(button);
  }
  button.textContent = `${count} new – show`;
  button.onclick = () => { button.remove(); fill(part, html); };
};

const updateRows = (part, fresh, html) => {
  const known = new Map(all(ROW, part).map((row) => [row.dataset.row, row]));
  const rows = all(ROW, fresh.content);
  const count = rows.filter((row) => !known.has(row.dataset.row)).length;
  if (!known.size || !rows.length) return fill(part, html);
  const button = part.previousElementSibling;
  if (count) offer(part, count, html);
  else if (button?.matches('button.new')) button.remove();
  for (const row of rows) {
    const old = known.get(row.dataset.row);
    known.delete(row.dataset.row);
    if (old && !old.isEqualNode(row) && !isInUse(old)) old.replaceWith(row.cloneNode(true));
  }
  for (const row of known.values()) row.classList.add('gone');
};

const update = (part, html) => {
  const fresh = parsed(html);
  waiting.delete(part);
  if (fresh.innerHTML === part.innerHTML) return;
  if ('rows' in part.dataset) inPlace(() => updateRows(part, fresh, html));
  else if (isInUse(part)) waiting.set(part, html);
  else inPlace(() => fill(part, html));
};

const parts = () => all('[data-live]');
const show = (key, html) => parts().filter((part) => part.dataset.live === key).forEach((part) => update(part, html));
setInterval(() => waiting.forEach((html, part) => update(part, html)), 500);

// ── State ──
const state = one('#live');
let lostAt = null;

const isTyping = () => all('form :is(input, textarea, select)').some((field) =>
  field.matches(':focus') || field.checked !== (field.defaultChecked ?? field.checked)
  || ('defaultValue' in field && field.type !== 'hidden' && field.value !== field.defaultValue));

const lost = (since) => {
  if (!state || lostAt) return;
  lostAt = since;
  state.className = 'live lost';
  state.textContent = `Not live since ${new Date(since).toISOString().slice(11, 19)} UTC`;
};

const live = () => {
  if (!state) return;
  state.className = 'live';
  state.textContent = 'Live';
  // Parts have caught up. The rest of the page may be old after a longer break.
  const isOld = lostAt && Date.now() - lostAt > 10_000;
  lostAt = null;
  if (isOld) reload();
};

const reload = () => {
  if (!isTyping() && !parts().some(isInUse)) return location.reload();
  state.textContent = 'Live again. Parts of this page are old until you reload it.';
};

// ── One stream for all tabs of this session: HTTP/1.1 gives an origin six connections ──
const keys = [...new Set(parts().map((part) => part.dataset.live))];
const name = `gatepost-live-${page.session}`;
const channel = new BroadcastChannel(name);
const tab = `${Date.now()}-${Math.random()}`;
const tell = (message) => { receive(message); channel.postMessage(message); };
let leader = null;

const receive = (message) => {
  if (message.part) show(...message.part);
  if (message.lost) lost(message.lost);
  if (message.live) live();
  if (message.version && message.version !== page.version) reload();
  if (message.ask) channel.postMessage({ tab, want: keys });
  if (message.want) leader?.want(message.tab, message.want);
};
channel.onmessage = (event) => receive(event.data);

const lead = () => {
  const wants = new Map([[tab, keys]]);
  const last = new Map();
  let source = null, opened = [], brokenAt = null, timer = null, watchdog = null;
  const later = (delay) => { clearTimeout(timer); timer = setTimeout(open, delay); };
  const broken = () => {
    source?.close();
    source = null;
    brokenAt ??= Date.now();
    tell({ lost: brokenAt });
    later(1000 + 1000 * Math.random());
  };
  const heard = () => { clearTimeout(watchdog); watchdog = setTimeout(broken, 40_000); };
  const open = () => {
    source?.close();
    opened = [...new Set([...wants.values()].flat())];
    if (!opened.length) return;
    source = new EventSource(`/live?${new URLSearchParams(opened.map((key) => ['of', key]))}`);
    source.onerror = broken;
    source.addEventListener('hello', (event) => {
      heard();
      brokenAt = null;
      tell({ live: true, version: event.data });
    });
    source.addEventListener('part', (event) => {
      heard();
      const part = JSON.parse(event.data);
      last.set(part[0], part[1]);
      tell({ part });
    });
    source.addEventListener('beat', heard);
    // The server ends each stream after a minute, and then checks the session again.
    source.addEventListener('end', () => {
      wants.forEach((_, other) => other === tab || wants.delete(other));
      channel.postMessage({ ask: true });
      source.close();
      later(100);
    });
    heard();
  };
  leader = {
    want(other, keys) {
      wants.set(other, keys);
      for (const key of keys) if (last.has(key)) channel.postMessage({ part: [key, last.get(key)] });
      if (keys.some((key) => !opened.includes(key))) later(100);
      else channel.postMessage(brokenAt ? { lost: brokenAt } : { live: true });
    },
    close() { source?.close(); clearTimeout(timer); clearTimeout(watchdog); },
  };
  channel.postMessage({ ask: true });
  open();
};

if (keys.length) {
  channel.postMessage({ tab, want: keys });
  // The lock passes to another tab when this one closes.
  if (navigator.locks) navigator.locks.request(name, () => new Promise(lead));
  else lead();
  addEventListener('pagehide', () => leader?.close());
  addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
}

// ── Keys ──
const help = one('#keys');
const use = one('#use-keys');
const opener = one('#open-keys');
if (!help) return;
opener.hidden = false;
opener.onclick = () => help.showModal();
use.checked = localStorage.getItem('keys') !== 'off';
use.onchange = () => localStorage.setItem('keys', use.checked ? 'on' : 'off');

const FIELDS = 'a, button, input, summary';
let goes = 0;

const step = (by) => {
  const rows = all(`main ${ROW}`).filter((row) => row.checkVisibility());
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  one(`a`, row ?? undefined) && row && (one('a', row) ?? one(FIELDS, row)).focus();
};
const row = () => document.activeElement.closest(ROW);
const press = {
  '/': () => one('input[type=search]')?.focus(),
  '?': () => help.showModal(),
  g: () => { goes = Date.now(); },
  j: () => step(1),
  k: () => step(-1),
  x: () => row() && one('input[type=checkbox]', row())?.click(),
  Enter: () => document.activeElement.matches('input[type=checkbox]') && row() && one('a', row())?.click(),
};

addEventListener('keydown', (event) => {
  const inField = event.target.matches?.('textarea, select, input:not([type=checkbox]):not([type=radio])');
  if (!use.checked || inField || help.open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (Date.now() - goes < 1500) {
    goes = 0;
    const link = all('.menu nav a').find((link) => link.textContent.trim().toLowerCase().startsWith(event.key));
    if (!link) return;
    event.preventDefault();
    return link.click();
  }
  const act = press[event.key];
  if (!act) return;
  if (event.key !== 'Enter') event.preventDefault();
  act();
});
})();
