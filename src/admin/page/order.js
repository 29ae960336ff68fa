// An order, guarded: what would happen is shown first, the name is typed, a reason is given; then it is sent once, followed to its end,
// and the end is told truly, also when the connection broke in between.

import { $, h, lay, say } from './dom.js';
import { call, Refused } from './api.js';
import * as words from './words.js';
import { reasons } from './card.js';
import { ending, phases } from './operation.js';

const SWITCHES = new Set(['switchover', 'failover', 'evacuate']);
const LATER = 1000;
/** How long an unanswered request is repeated under its key. */
const PATIENCE = 600000;

/** What the open window is about; null when it is closed. */
let form = null;
let context = null;

const TITLES = {
  switchover: (on) => `Switch ${on.name} over`,
  failover: (on) => `Fail ${on.name} over`,
  evacuate: (on) => `Evacuate ${on.name}`,
  mode: (on) => `Mode of ${on.name}`,
  pause: (on) => `Pause automatic failover of ${on.name}`,
  resume: (on) => `Resume automatic failover of ${on.name}`,
  drain: (on) => `Drain ${on.cluster} of ${on.name}`,
  restore: (on) => `Restore ${on.cluster} of ${on.name}`,
  approve: (on) => `Agree to ${on.id}`,
  withdraw: (on) => `Withdraw ${on.id}`,
};
const LABELS = { switchover: 'Switch over', failover: 'Fail over', evacuate: 'Evacuate', mode: 'Set the mode', pause: 'Pause', resume: 'Resume', drain: 'Drain', restore: 'Restore', approve: 'Agree', withdraw: 'Withdraw' };
const TELLS = {
  switchover: () => 'Moves the route to a standby that has everything. Requests wait a moment; it refuses rather than loses.',
  failover: () => 'For a primary that is gone. What no standby has received is lost.',
  evacuate: (on) => `Moves every service that is routed to ${on.name} to its best cluster elsewhere, one after the other.`,
  mode: () => 'What applications may do: open is everything, read only refuses writes, hold lets requests wait, closed refuses all.',
  pause: () => 'If the primary dies in that time, nobody fails over by itself. A pause always ends.',
  resume: () => 'From now on a dead primary is replaced without asking.',
  drain: (on) => `Nothing is switched to ${on.cluster} until it is restored.`,
  restore: (on) => `${on.cluster} may be chosen again.`,
  approve: () => 'The guards are asked once more, then it runs at once.',
  withdraw: () => 'It is given up. Nothing was changed.',
};

/** Opens the window for an order on `{kind: service | group | site | operation, name, …}`. */
export function open(action, on, from) {
  context = from;
  form = { action, on, phase: 'form', dry: null, operation: null, problem: null, note: '', key: null, sentAt: 0, epoch: on.service?.epoch };
  const dialog = $('order');
  // A form of before keeps nothing.
  lay(dialog);
  render();
  dialog.showModal();
  if (SWITCHES.has(action)) dryRun();
}

/** The latest of what the window is about; called with each change on the page. */
export function changed(operation) {
  if (form?.phase !== 'follow' || operation.id !== form.operation?.id) return;
  form.operation = operation;
  if (operation.outcome !== 'running') end();
  render();
}

const path = ({ action, on }) => {
  const name = encodeURIComponent(on.name);
  if (on.kind === 'operation') return `/v1/operations/${encodeURIComponent(on.id)}/${action}`;
  return `/v1/${on.kind}s/${name}/${action}`;
};

function value(name) {
  const field = $('order').querySelector(`[name="${name}"]`);
  return field?.type === 'checkbox' ? field.checked : field?.value.trim();
}

/** The body of the request, from the fields. */
function body(dry) {
  const { action, on } = form;
  const reason = value('reason') ?? '';
  if (action === 'mode') return { mode: value('mode'), reason };
  if (action === 'pause') return { for: value('for'), reason };
  if (action === 'drain' || action === 'restore') return { cluster: on.cluster, reason };
  if (action === 'approve') return { reason, wait: '1s' };
  if (!SWITCHES.has(action)) return { reason };
  const all = { reason, dry_run: dry };
  if (value('partial')) all.partial = true;
  if (value('to')) all.to = value('to');
  if (on.kind === 'service') all.if_epoch = form.epoch;
  if (value('cut_sessions')) all.cut_sessions = true;
  if (value('rehearsal')) all.rehearsal = true;
  if (!dry && value('accept_loss')) all.accept_loss = true;
  if (!dry) {
    all.wait = '1s';
    const over = ticked();
    if (over.length) all.override = over;
  }
  return all;
}

const ticked = () => [...$('order').querySelectorAll('[name=override]:checked')].map((field) => field.value);

async function dryRun() {
  const asked = form;
  asked.asking = (asked.asking ?? 0) + 1;
  const turn = asked.asking;
  asked.dry = { state: 'asking' };
  render();
  let found;
  try {
    found = { state: 'yes', operation: (await call(path(asked), { body: body(true), limit: 40000 })).body };
  } catch (error) {
    const operation = error.problem?.operation ?? error.problem?.group_operation;
    found = { state: error instanceof Refused && (operation || error.problem?.guards) ? 'no' : 'failed', operation, guards: error.problem?.guards ?? operation?.guards ?? [], words: error.message };
  }
  if (form !== asked || turn !== asked.asking) return;
  asked.dry = found;
  render();
  say(found.state === 'yes' ? 'Dry run: it would be let through.' : 'Dry run: it would be refused.');
}

/** Why the order can't be sent yet, in words; empty when it can. */
function missing() {
  const { dry, on, action } = form;
  if (SWITCHES.has(action)) {
    if (!dry || dry.state === 'asking') return 'The dry run isn’t back yet.';
    if (dry.state === 'failed') return 'The dry run had no answer.';
    if (dry.state === 'no') {
      const over = new Set(ticked());
      const left = dry.guards.filter((refusal) => !over.has(refusal.name));
      if (left.length || !dry.guards.length) return 'The guards say no.';
    }
  }
  if (value('mode') === '') return 'Choose a mode.';
  if (value('accept_loss') === false) return 'Say that a loss is accepted.';
  if (value('name') !== on.name) return `Type ${on.name}.`;
  return value('reason') ? '' : 'Give a reason.';
}

function render() {
  const dialog = $('order');
  if (!form) return;
  const { action, on } = form;
  lay(dialog, h('form', { class: 'window', method: 'dialog', novalidate: true, 'data-key': form.phase, 'data-act': action, 'data-phase': form.phase },
    h('h2', { id: 'order-title', tabindex: '-1' }, TITLES[action](on)),
    form.phase === 'form' ? asked() : followed()));
  check();
}

function check() {
  if (form?.phase !== 'form') return;
  const why = missing();
  const send = $('order').querySelector('[data-send]');
  send.setAttribute('aria-disabled', why ? 'true' : 'false');
  $('order-missing').textContent = why;
}

/** The first face of the window: what would happen, and the fields. */
function asked() {
  const { action, on } = form;
  const operation = on.operation;
  return [
    h('p', null, TELLS[action](on)),
    operation ? h('p', null, h('strong', null, `${words.kind(operation)} of ${operation.svc ?? operation.group}: ${operation.from ?? ''} → ${operation.to ?? ''}`), `, asked for by ${words.actor(operation.actor)}: “${operation.reason}”`) : null,
    on.service ? h('p', { class: 'price' }, action === 'failover' ? words.expectedLoss(on.service) : action === 'switchover' ? words.cost(context.operations.get(on.name) ?? []) : '') : null,
    on.members && !SWITCHES.has(action) ? h('ul', { 'aria-label': 'Whom it concerns' }, on.members.map((one) => h('li', { 'data-svc': one.name }, `${one.name}: ${words.verdict(one).word}, ${words.mode(one.mode)}${one.state === 'paused' ? ', failover paused' : ''}`))) : null,
    fields(),
    SWITCHES.has(action) ? dryShown() : null,
    h('label', { class: 'field' }, h('span', null, 'Reason (kept in the journal)'), h('input', { name: 'reason', maxlength: 300, autocomplete: 'off', required: true })),
    h('label', { class: 'field' }, h('span', null, 'Type ', h('strong', null, on.name), ' to confirm'), h('input', { name: 'name', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', required: true })),
    form.problem ? h('p', { class: 'is-bad', role: 'alert' }, h('span', { class: 'shape', 'aria-hidden': 'true' }, '■'), ' ', words.sentence(form.problem)) : null,
    h('div', { class: 'buttons end' }, h('p', { id: 'order-missing', class: 'quiet grow', 'data-key': 'missing' }),
      h('button', { type: 'button', 'data-act': 'close' }, 'Cancel'),
      h('button', { type: 'submit', 'data-send': true, class: action === 'failover' ? 'main risky' : 'main', 'aria-describedby': 'order-missing' }, LABELS[action])),
  ];
}

function fields() {
  const { action, on } = form;
  const options = (list, chosen) => list.map((name) => h('option', { value: name, selected: name === chosen }, name));
  if (action === 'mode') {
    const [now, ...others] = new Set((on.members ?? [on.service]).map((one) => one.mode));
    // Where a group's members differ, none of their modes is everybody's: it has to be chosen.
    const differ = others.length ? h('option', { value: '', selected: true }, 'They differ: choose one') : null;
    const modes = ['open', 'read_only', 'hold', 'closed'].map((name) => h('option', { value: name, selected: !differ && name === now }, words.mode(name)));
    return h('label', { class: 'field' }, h('span', null, 'Mode'), h('select', { name: 'mode' }, differ, modes));
  }
  if (action === 'pause') return h('label', { class: 'field' }, h('span', null, 'For how long'), h('select', { name: 'for' }, options(['10m', '30m', '1h', '4h', '24h'], '30m')));
  if (!SWITCHES.has(action) || action === 'evacuate') return null;
  const ready = action === 'failover' ? on.service?.failover_ready : on.service?.switchover_ready;
  const targets = on.targets ?? [];
  return [
    targets.length > 0 ? h('label', { class: 'field' }, h('span', null, 'To'), h('select', { name: 'to', 'data-again': true }, options(targets, ready?.to ?? targets[0]))) : null,
    action === 'failover' ? h('label', { class: 'tick' }, h('input', { type: 'checkbox', name: 'accept_loss' }), h('span', null, 'Writes may be lost, and that is accepted')) : null,
    context.rehearsals && action === 'switchover' ? h('label', { class: 'tick' }, h('input', { type: 'checkbox', name: 'rehearsal' }), h('span', null, 'For practice (rehearsal)')) : null,
  ];
}

/** The dry run's answer: guards, sessions, and what may be passed in spite of them. */
function dryShown() {
  const { dry, action } = form;
  const head = { asking: ['work', '◆', 'Dry run: asking…'], yes: ['good', '✓', 'Dry run: every guard says yes'], no: ['warn', '✕', 'Dry run: it would be refused'], failed: ['bad', '■', 'Dry run: no answer'] };
  const [level, shape, title] = head[dry?.state ?? 'asking'];
  const guards = dry?.guards ?? [];
  const operation = dry?.operation;
  const members = operation?.members?.map((one) => h('li', { 'data-svc': one.svc }, `${one.svc}: ${one.from ?? ''} → ${one.to ?? ''} ${one.detail ? `(${one.detail})` : ''}`));
  const free = guards.filter((refusal) => !words.firm(refusal.name));
  const cut = action === 'switchover' && (guards.some((refusal) => refusal.name === 'sessions') || value('cut_sessions'));
  return h('section', { class: `dry is-${level}`, 'data-state': dry?.state, 'aria-label': 'Dry run' },
    h('h3', null, h('span', { class: 'shape', 'aria-hidden': 'true' }, shape), ` ${title}`),
    dry?.state === 'yes' && operation?.to ? h('p', null, `${operation.from ?? ''} → ${operation.to}`) : null,
    dry?.state === 'failed' ? h('p', null, words.sentence(dry.words)) : null,
    members ? h('ul', null, members) : null,
    guards.length ? reasons(guards) : null,
    operation?.sessions?.length ? h('details', null, h('summary', null, words.count(operation.sessions.length, 'session'), ' can’t move'), h('ul', null, operation.sessions.map((one) => h('li', null, `${one.client}: ${one.why}`)))) : null,
    cut ? h('label', { class: 'tick', 'data-key': 'cut' }, h('input', { type: 'checkbox', name: 'cut_sessions', 'data-again': true }), h('span', null, 'Cut sessions that can’t move')) : null,
    action === 'evacuate' && (dry?.state === 'no' || value('partial')) ? h('label', { class: 'tick', 'data-key': 'partial' }, h('input', { type: 'checkbox', name: 'partial', 'data-again': true }), h('span', null, 'Leave in place what a guard refuses, and move the rest')) : null,
    dry?.state === 'no' && free.length ? h('fieldset', { class: 'over' }, h('legend', null, 'Go on in spite of it (recorded, loud)'),
      free.map((refusal) => h('label', { class: 'tick', 'data-key': refusal.name }, h('input', { type: 'checkbox', name: 'override', value: refusal.name }), h('span', null, `in spite of “${refusal.name}”`)))) : null);
}

/** The second face: how it goes, and how it ended. */
function followed() {
  const { operation, problem, note } = form;
  const ended = form.phase === 'end';
  return [
    note ? h('p', { class: 'is-warn', role: 'status' }, h('span', { class: 'shape', 'aria-hidden': 'true' }, '▲'), ' ', note) : null,
    operation?.outcome ? ending(operation) : h('p', null, ended ? '' : 'Sent. Waiting for the first answer…'),
    problem && !operation ? h('p', { class: 'is-bad' }, words.sentence(problem)) : null,
    operation?.guards?.length && ended ? reasons(operation.guards) : null,
    operation?.members ? h('ul', null, operation.members.map((one) => h('li', { 'data-svc': one.svc }, `${one.svc}: ${words.outcome(one.outcome)[1]} ${one.detail ?? ''}`))) : null,
    operation?.phases?.length || operation?.outcome === 'running' ? phases(operation) : null,
    operation?.id ? h('p', { class: 'quiet' }, `Operation ${operation.id}; later: pointsman operation ${operation.id}`) : null,
    h('div', { class: 'buttons end' }, h('button', { type: 'button', class: 'main', 'data-act': 'close' }, ended ? 'Close' : 'Close (it goes on)')),
  ];
}

/** Sends the order once, however often the connection breaks: a request under the same key acts once. */
async function send() {
  const sent = form;
  const request = { path: path(sent), body: body(false), key: `page-${crypto.getRandomValues(new Uint32Array(4)).join('-')}` };
  form.phase = 'follow';
  form.problem = null;
  render();
  $('order-title').focus();
  const until = Date.now() + PATIENCE;
  while (Date.now() < until) {
    try {
      const { body: answer } = await call(request.path, { body: request.body, key: request.key, limit: 60000 });
      return follow(sent, answer);
    } catch (error) {
      const operation = error instanceof Refused ? (error.problem.operation ?? error.problem.group_operation) : null;
      if (operation) return follow(sent, operation);
      if (error instanceof Refused && error.status !== 503 && error.status !== 401) return refused(sent, error);
      if (error instanceof Refused && error.status === 401) await context.login();
      sent.note = 'The connection broke. The same request is sent again under the same key: it acts once at most.';
      if (form === sent) render();
      await context.soon(LATER);
    }
  }
  sent.problem = 'No answer came in ten minutes. Whether it was done isn’t known: look at the last operations.';
  sent.phase = 'end';
  if (form === sent) render();
}

/** The request was turned down before it was an operation: nothing was done, and the fields are still there. */
function refused(sent, error) {
  sent.phase = 'form';
  sent.problem = error.message;
  if (form === sent) render();
}

async function follow(sent, operation) {
  sent.operation = { ...sent.operation, ...operation };
  sent.note = '';
  if (operation.outcome !== 'running') return end(sent);
  if (form === sent) render();
  while (sent.phase === 'follow') {
    await context.soon(LATER);
    if (sent.phase !== 'follow' || form !== sent) return;
    try {
      const { body: found } = await call(`/v1/operations/${encodeURIComponent(operation.id)}`, { limit: 5000 });
      sent.note = '';
      sent.operation = found;
      if (found.outcome !== 'running') return end(sent);
    } catch {
      sent.note = 'The connection broke. It goes on by itself; its end is told here as soon as Pointsman answers again.';
    }
    if (form === sent) render();
  }
}

function end(sent = form) {
  sent.phase = 'end';
  sent.note = '';
  const [, word] = words.outcome(sent.operation.outcome);
  say(`${sent.operation.id}: ${word}.`);
  context.reread();
  if (form !== sent) return;
  render();
  $('order-title').focus();
}

/** Wires the window; once. */
export function ready() {
  const dialog = $('order');
  dialog.addEventListener('input', (event) => {
    if (event.target.matches('[data-again]')) dryRun();
    check();
  });
  dialog.addEventListener('submit', (event) => {
    event.preventDefault();
    if (form?.phase !== 'form') return dialog.close();
    const why = missing();
    if (why) return say(why);
    send();
  });
  dialog.addEventListener('close', () => {
    form = null;
  });
}
