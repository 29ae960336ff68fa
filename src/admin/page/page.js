// The page: what is known, how it is shown, and what a click does.

import { $, h, lay, say } from './page/dom.js';
import { ask, call, now, Refused, token } from './page/api.js';
import * as words from './page/words.js';
import { card, verdictLine } from './page/card.js';
import { about } from './page/operation.js';
import { again, live, soon, touch } from './page/live.js';
import { changed as orderChanged, open, ready } from './page/order.js';
import { together, waiting } from './page/together.js';

const RANKS = { viewer: 0, operator: 1, approver: 2 };
const REMEMBERED = 20;

const known = { services: [], operations: new Map(), groups: [], sites: [], who: null, paths: null, rehearsals: false, read: false };
const context = {
  operations: known.operations,
  width: 600,
  get who() { return known.who; },
  get rehearsals() { return known.rehearsals; },
  members: (group) => known.services.filter((one) => one.groups?.includes(group)),
  now,
  soon,
  login,
  reread: () => readOperations().then(draw, () => {}),
  may: (role) => (RANKS[known.who?.role] ?? 0) >= RANKS[role],
};

/** Reads everything. What this Pointsman doesn't have is left out; its own document says what that is. */
async function read() {
  const document = await ask('/openapi.json', {});
  known.paths = new Set(Object.keys(document.paths ?? {}));
  known.rehearsals = Boolean(document.components?.schemas?.SwitchBody?.properties?.rehearsal);
  const had = (path, instead) => (known.paths.has(path) ? ask(path, instead) : instead);
  const [who, { services }, groups, sites] = await Promise.all([
    had('/v1/whoami', { name: '', role: 'operator', via: 'socket' }), ask('/v1/services'), had('/v1/groups', { groups: [] }), had('/v1/sites', { sites: [] })]);
  Object.assign(known, { who, services, groups: groups.groups, sites: sites.sites });
  await readOperations();
  known.read = true;
  draw();
}

async function readOperations() {
  await Promise.all(known.services.map(async ({ name }) => {
    const svc = encodeURIComponent(name);
    const listed = known.paths.has('/v1/operations');
    known.operations.set(name, listed ? (await ask(`/v1/operations?svc=${svc}&limit=${REMEMBERED}`)).operations : await fromJournal(svc));
  }));
}

/** Where no list of operations is told, the journal holds them. */
async function fromJournal(svc) {
  const { records } = await ask(`/v1/journal?svc=${svc}&kind=operation&limit=10000`, { records: [] });
  const found = new Map();
  for (const { detail } of records) if (detail.operation) found.set(detail.operation.id, detail.operation);
  return [...found.values()].reverse().slice(0, REMEMBERED);
}

function event(name, data) {
  if (name === 'gap') return void read().catch(() => {});
  if (name === 'service') {
    const at = known.services.findIndex((service) => service.name === data.name);
    if (at < 0) return void read().catch(() => {});
    announce(known.services[at]);
    known.services[at] = data;
  } else if (name === 'operation') {
    const list = known.operations.get(data.svc) ?? [];
    known.operations.set(data.svc, [data, ...list.filter((operation) => operation.id !== data.id)].slice(0, REMEMBERED));
    orderChanged(data);
  } else if (name === 'group') {
    const at = known.groups.findIndex((group) => group.name === data.name);
    if (at >= 0) known.groups[at] = data;
    else return void read().catch(() => {});
  } else if (name === 'journal' && data.kind === 'configuration') {
    return void read().catch(() => {});
  }
  draw();
}

/** How long a verdict stands before it is read out: what passes in between is no news. */
const SETTLED = 300;
const settling = new Set();

/** Says to screen readers what a look would tell: another verdict. */
function announce(before) {
  if (settling.has(before.name)) return;
  settling.add(before.name);
  const old = words.verdict(before);
  setTimeout(() => {
    settling.delete(before.name);
    const after = known.services.find((service) => service.name === before.name);
    const found = after ? words.verdict(after) : old;
    if (old.word !== found.word || old.level !== found.level) say(`${before.name}: ${found.word}. ${found.more}`);
  }, SETTLED);
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    show();
  }, 20);
}

function show() {
  showTouch();
  if (!known.read) return;
  const box = $('services').firstElementChild?.querySelector('.map') ?? $('services');
  context.width = Math.max(240, Math.floor(box.clientWidth || 600));
  const list = (name) => known.operations.get(name) ?? [];
  lay($('verdict-list'), known.services.map((service) => verdictLine(service, list(service.name))));
  lay($('services'), known.services.length ? known.services.map((service) => card(service, context)) : h('p', { class: 'empty' }, 'No service is configured.'));
  lay($('waiting'), waiting(waits(), context));
  lay($('together'), together(known.groups, known.sites.map(served), context));
}

/** A site with the services that are routed to it now. */
function served(site) {
  const here = (service) => service.clusters.some((cluster) => cluster.name === service.route?.cluster && cluster.site === site.name);
  return { ...site, routed: known.services.filter(here).map((service) => service.name) };
}

/** Operations that wait for a second person, each once. */
function waits() {
  const all = [...known.services.map((service) => service.operation), ...known.operations.values(), ...known.groups.map((group) => group.operation)].flat();
  const found = new Map();
  for (const operation of all) if (operation?.outcome === 'waiting' && Date.parse(operation.expires ?? '') > now()) found.set(operation.id, operation);
  return [...found.values()];
}

function showTouch() {
  document.body.dataset.touch = touch.state;
  const lost = touch.state === 'lost';
  const shown = { starting: '○ Connecting…', live: `● Live · ${words.clock(now())}`, lost: `■ No touch since ${words.clock(touch.since)}` };
  $('touch').textContent = shown[touch.state];
  const banner = $('banner');
  // The words of the alert stay the same while it lasts, so that it is read out once; the count beside it isn't.
  if (lost && banner.hidden) lay(banner, h('strong', null, `Lost touch with Pointsman at ${words.clock(touch.since)}.`), ' What you see is as it was then, and may be wrong now. Trying again…', h('span', { id: 'lost-for', 'aria-hidden': 'true' }));
  banner.hidden = !lost;
  if (lost) $('lost-for').textContent = ` (${words.span((now() - touch.since) / 1000)}; ${touch.why})`;
  const worst = ['bad', 'warn', 'work', 'unknown', 'good'].find((level) => known.services.some((service) => words.verdict(service).level === level)) ?? 'unknown';
  document.title = `${lost ? '? No touch' : `${words.SHAPES[worst]} ${worst === 'good' ? 'All well' : known.services.length ? 'Look' : ''}`} – Pointsman`;
  if (known.who?.name) $('who').textContent = `${known.who.name} · ${known.who.role}`;
}

/** Asks who is there until a token is taken, or `free` and given up. Resolves then. */
let asking = null;
function login(why, free = false) {
  asking ??= new Promise((done) => {
    const dialog = $('login');
    const before = free ? token.get() : null;
    const shown = (problem) => lay(dialog, h('form', { class: 'window', method: 'dialog' },
      h('h2', { id: 'login-title' }, 'Who is there?'),
      h('p', null, free ? 'With a token you are the person it was made for. It is kept for this tab only.' : 'This listener asks for your token. It is kept for this tab only; pointsman token makes one.'),
      h('label', { class: 'field' }, h('span', null, 'Token'), h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true, autofocus: true })),
      problem ? h('p', { class: 'is-bad', role: 'alert' }, `■ ${words.sentence(problem)}`) : null,
      h('div', { class: 'buttons end' },
        before ? h('button', { type: 'button', 'data-act': 'forget' }, 'Forget the token') : null,
        free ? h('button', { type: 'button', 'data-act': 'close' }, 'Cancel') : null,
        h('button', { type: 'submit', class: 'main' }, 'Come in'))));
    shown(!free && token.get() ? why || 'That token is not taken.' : null);
    if (!free) token.drop();
    dialog.oncancel = (cancel) => free || cancel.preventDefault();
    dialog.onsubmit = async (submitted) => {
      submitted.preventDefault();
      const field = dialog.querySelector('[name=token]');
      token.set(field.value.trim());
      try {
        await call('/v1/services');
      } catch (error) {
        if (before) token.set(before);
        else token.drop();
        field.value = '';
        field.focus();
        return shown(error instanceof Refused ? error.message : 'No answer: try again.');
      }
      dialog.close();
    };
    dialog.onclose = () => {
      lay(dialog);
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}

/** Somebody else at this screen. */
async function become() {
  await login('', true);
  again();
}

/** What a button is about. */
function subject(button) {
  const { svc, group, site, operation, cluster } = button.dataset;
  if (operation) {
    const found = waits().find((one) => one.id === operation);
    return { kind: 'operation', id: operation, name: found?.svc ?? found?.group ?? svc, operation: found };
  }
  if (group) return { kind: 'group', name: group, members: context.members(group) };
  if (site) return { kind: 'site', name: site };
  const service = known.services.find((one) => one.name === svc);
  const targets = service.clusters.filter((one) => one.name !== service.route?.cluster && !one.drained).map((one) => one.name);
  return { kind: 'service', name: svc, cluster, service, targets };
}

document.addEventListener('click', ({ target }) => {
  const button = target.closest('button[data-act]');
  if (!button) return;
  const { act, svc, operation } = button.dataset;
  if (act === 'me') become();
  else if (act === 'forget') {
    token.drop();
    button.closest('dialog').close();
  } else if (act === 'close') button.closest('dialog').close();
  else if (act === 'about') about(svc, known.operations.get(svc).find((one) => one.id === operation), known.paths.has('/v1/services/{svc}/timeline'));
  else open(act, subject(button), context);
});
$('verdict-list').addEventListener('click', ({ target }) => {
  const link = target.closest('a');
  if (link) document.querySelector(`[id="${CSS.escape(link.hash.slice(1))}"]`)?.focus();
});
new ResizeObserver(draw).observe($('main'));
setInterval(draw, 1000);
ready();
live({ read, event, login, changed: draw });
