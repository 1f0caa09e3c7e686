'use strict';
// Fragments that change while people look, and keys. Every page works without this script.
(() => {
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const menu = one('.menu');
if (!menu) return;
const { session, version } = menu.dataset;
const policy = window.trustedTypes?.createPolicy('gatepost', { createHTML: (html) => html });
const fill = (element, html) => { element.innerHTML = policy ? policy.createHTML(html) : html; };

// Fragments
const ROW = '[data-row]';
const POINTED = ':is(a, button, summary, input, select, label):hover';
const fragments = all('[data-live]');
const postponed = new Map();

// The reader is in the middle of something there: focus, selection, pointer, ticks, or an open menu.
const isInUse = (part) => {
  const selection = getSelection();
  return part.contains(document.activeElement) || (!selection.isCollapsed && selection.containsNode(part, true))
    || one(`details[open], input:checked, ${POINTED}`, part) !== null;
};

// What has the pointer or the focus stays where it is on the screen.
const inPlace = (change) => {
  const anchor = one(`main ${POINTED}`) ?? one('main :focus');
  const top = anchor?.getBoundingClientRect().top;
  change();
  if (anchor?.isConnected) scrollBy(0, anchor.getBoundingClientRect().top - top);
};

// New rows push no row away: a button says how many there are, and shows them.
const updateRows = (part, fresh, html) => {
  const known = new Map(all(ROW, part).map((row) => [row.dataset.row, row]));
  const rows = all(ROW, fresh.content);
  let button = part.previousElementSibling;
  if (!button?.matches('.new')) button = null;
  if (!known.size || !rows.length) { button?.remove(); return fill(part, html); }
  const count = rows.filter((row) => !known.has(row.dataset.row)).length;
  if (!count) button?.remove();
  else {
    if (!button) {
      button = document.createElement('button');
      button.className = 'new';
      part.before(button);
    }
    button.textContent = `${count} new – show`;
    button.onclick = () => { button.remove(); fill(part, html); };
  }
  for (const row of rows) {
    const old = known.get(row.dataset.row);
    known.delete(row.dataset.row);
    if (old && !old.isEqualNode(row) && !isInUse(old)) old.replaceWith(row.cloneNode(true));
  }
  for (const row of known.values()) row.classList.add('gone');
};

const update = (part, html) => {
  const fresh = document.createElement('template');
  fill(fresh, html);
  postponed.delete(part);
  if (fresh.innerHTML === part.innerHTML) return;
  if ('rows' in part.dataset) inPlace(() => updateRows(part, fresh, html));
  else if (isInUse(part)) postponed.set(part, html);
  else inPlace(() => fill(part, html));
};
setInterval(() => [...postponed].forEach((waiting) => update(...waiting)), 500);

// What the page says of itself
const state = one('#live');
let lostAt = 0;
const say = (text) => { if (state.textContent !== text) state.textContent = text; };
const isTyping = () => all('form :is(input, textarea, select)').some((field) => field.matches(':focus')
  || field.checked !== (field.defaultChecked ?? field.checked)
  || (field.type !== 'hidden' && field.value !== (field.defaultValue ?? field.value)));
const reload = () => {
  if (!isTyping() && !fragments.some(isInUse)) location.reload();
  else say('Live again. Reload this page to see all that has changed.');
};
const lost = (at) => {
  lostAt ||= at;
  state.classList.add('lost');
  say(`Not live since ${new Date(lostAt).toISOString().slice(11, 19)} UTC`);
};
const live = () => {
  state.classList.remove('lost');
  say('Live');
  // Fragments have caught up. After a longer break, the rest of the page may be old.
  if (lostAt && Date.now() - lostAt > 10_000) reload();
  lostAt = 0;
};

// One stream for all tabs of a session, because HTTP/1.1 gives an origin six connections
const keys = [...new Set(fragments.map((part) => part.dataset.live))];
const name = `gatepost-${session}`;
const tab = String(Math.random());
let leader;
const receive = (message) => {
  if (message.part) fragments.filter((part) => part.dataset.live === message.part[0]).forEach((part) => update(part, message.part[1]));
  if (message.lost) lost(message.lost);
  if (message.live) live();
  if (message.live && message.live !== version) reload();
  if (message.out) say('Logged out. Reload this page to log in.');
  if (message.ask) send({ tab, want: keys });
  if (message.want) leader?.(message.tab, message.want);
};
let channel;
const send = (message) => channel.postMessage(message);
const tell = (message) => { receive(message); send(message); };

// Runs in the tab that holds the stream. The lock passes to another tab when this one closes.
const lead = () => {
  const wanted = new Map([[tab, keys]]), last = new Map();
  let source, opened, brokenAt = 0, current = '', timer, silence;
  const later = (delay) => { clearTimeout(timer); timer = setTimeout(open, delay); };
  const broken = () => {
    source.close();
    clearTimeout(silence);
    brokenAt ||= Date.now();
    tell({ lost: brokenAt });
    fetch('/live').then((answer) => answer.status === 401 && tell({ out: true }), () => {});
    later(1000 + 1000 * Math.random());
  };
  // The server says something every 15 seconds.
  const heard = () => { clearTimeout(silence); silence = setTimeout(broken, 40_000); };
  const open = () => {
    source?.close();
    opened = new Set([...wanted.values()].flat());
    source = new EventSource(`/live?${new URLSearchParams([...opened].map((key) => ['of', key]))}`);
    const on = (event, act) => source.addEventListener(event, (message) => { heard(); act(message.data); });
    on('hello', (data) => { brokenAt = 0; current = data; tell({ live: current }); });
    on('part', (data) => {
      const part = JSON.parse(data);
      last.set(...part);
      tell({ part });
    });
    on('beat', () => {});
    // After a minute, so that the session is checked again. Tabs that were closed are forgotten.
    on('end', () => {
      source.close();
      wanted.clear();
      wanted.set(tab, keys);
      send({ ask: true });
      later(100);
    });
    source.onerror = broken;
    heard();
  };
  leader = (other, keys) => {
    wanted.set(other, keys);
    if (keys.some((key) => !opened.has(key))) return later(100);
    send(brokenAt ? { lost: brokenAt } : { live: current });
    keys.filter((key) => last.has(key)).forEach((key) => send({ part: [key, last.get(key)] }));
  };
  addEventListener('pagehide', () => { source.close(); clearTimeout(silence); clearTimeout(timer); });
  open();
  send({ ask: true });
};

if (keys.length) {
  channel = new BroadcastChannel(name);
  channel.onmessage = (event) => receive(event.data);
  send({ tab, want: keys });
  if (navigator.locks) navigator.locks.request(name, () => new Promise(lead));
  else lead();
  addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
}

// Keys
const help = one('#keys'), use = one('#use-keys'), opener = one('#open-keys');
opener.hidden = false;
opener.onclick = () => help.showModal();
use.checked = localStorage.keys !== 'off';
use.onchange = () => { localStorage.keys = use.checked ? 'on' : 'off'; };

let goesUntil = 0;
const rowInFocus = () => document.activeElement.closest(ROW);
const step = (by) => {
  const rows = all(`main ${ROW}`).filter((row) => row.checkVisibility());
  const at = rows.indexOf(rowInFocus());
  const row = rows[at < 0 ? 0 : at + by];
  if (row) (one('a', row) ?? one('button, input, summary', row))?.focus();
};
const does = {
  '/': () => one('input[type=search]')?.focus(),
  '?': () => help.showModal(),
  g: () => { goesUntil = Date.now() + 1500; },
  j: () => step(1),
  k: () => step(-1),
  x: () => rowInFocus() && one('input[type=checkbox]', rowInFocus())?.click(),
};
const TYPED = 'textarea, select, input:not([type=checkbox], [type=radio])';
addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (!use.checked || help.open || target.matches?.(TYPED) || event.ctrlKey || event.metaKey || event.altKey) return;
  const goes = Date.now() < goesUntil;
  goesUntil = 0;
  const link = goes && all('nav a', menu).find((link) => link.textContent.trim().toLowerCase().startsWith(key));
  const act = link ? () => link.click() : goes ? null : does[key];
  if (!act) return;
  event.preventDefault();
  act();
});
})();
