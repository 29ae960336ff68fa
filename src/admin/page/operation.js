// Operations: the one that runs with its phases, the last ones as a list, and one told whole with its timeline.

import { $, h, lay } from './dom.js';
import { ask, Refused } from './api.js';
import * as words from './words.js';

/** The phases of a switch as a line of stations: what is behind, where it is, what is to come. */
export function phases(operation) {
  const past = operation.phases ?? [];
  const ended = operation.outcome !== 'running';
  const seen = new Set(past.map((phase) => phase.name));
  const last = past.at(-1)?.name;
  const plan = words.plan(operation);
  const rest = ended ? [] : plan.slice(last ? plan.indexOf(last) + 1 : 0).filter((name) => !seen.has(name));
  const list = [...past.map((phase) => ({ name: phase.name, ms: phase.ms, state: 'past' })), ...rest.map((name, index) => ({ name, state: index ? 'next' : 'now' }))];
  const shapes = { past: '✓', now: '▶', next: '·' };
  return h('ol', { class: 'phases', 'aria-label': 'Phases' }, list.map((phase) => h('li', { 'data-key': phase.name, class: `phase-${phase.state}`, 'data-phase': phase.name, 'data-state': phase.state, 'aria-current': phase.state === 'now' ? 'step' : null },
    h('span', { class: 'shape', 'aria-hidden': 'true' }, shapes[phase.state]), ' ', words.step(phase.name), ' ',
    h('span', { class: 'ms' }, phase.state === 'past' ? words.milliseconds(phase.ms) : phase.state === 'now' ? 'now' : ''))));
}

/** The operation that runs, on its service's card. */
export function running(operation) {
  return h('section', { class: 'running', 'data-key': 'running', 'data-operation': operation.id, 'data-state': operation.outcome },
    h('h3', null, `${words.kind(operation)} ${operation.from ?? ''} → ${operation.to ?? ''}`, h('span', { class: 'quiet' }, ` ${operation.id}, by ${words.actor(operation.actor)}, for ${words.since(operation.started)}`)),
    operation.reason ? h('p', null, `“${operation.reason}”`) : null,
    phases(operation));
}

const took = (operation) => (operation.phases ?? []).reduce((sum, phase) => sum + phase.ms, 0);

/** The last operations of a service. */
export function history(service, operations) {
  const shown = operations.filter((operation) => operation.outcome !== 'running').slice(0, 5);
  return h('section', { class: 'history', 'data-key': 'history' }, h('h3', null, 'Last operations'),
    shown.length ? h('ul', { class: 'operations' }, shown.map(row)) : h('p', { class: 'quiet' }, `${service.name} was never switched as far as this journal goes.`));
}

function row(operation) {
  const [level, word] = words.outcome(operation.outcome);
  const moved = operation.from && operation.to && operation.from !== operation.to;
  const numbers = operation.client_stall_ms === null || operation.client_stall_ms === undefined ? [] : [`longest wait ${words.milliseconds(operation.client_stall_ms)}`, words.loss(operation.lost)];
  if (took(operation)) numbers.unshift(`took ${words.milliseconds(took(operation))}`);
  return h('li', { 'data-key': operation.id, 'data-operation': operation.id, 'data-state': operation.outcome, class: `is-${level}` },
    h('span', { class: 'shape', 'aria-hidden': 'true' }, words.SHAPES[level]),
    h('div', null,
      h('p', null, h('strong', null, words.kind(operation)), moved ? ` ${operation.from} → ${operation.to}` : '', ` · ${word} · `, h('time', { datetime: operation.started }, words.clock(operation.started))),
      h('p', { class: 'quiet' }, `${words.actor(operation.actor)}${operation.approver ? `, agreed by ${operation.approver}` : ''}${operation.reason ? `: ${operation.reason}` : ''}`),
      numbers.length ? h('p', { class: 'numbers' }, numbers.join(' · ')) : null),
    h('button', { type: 'button', class: 'small', 'data-act': 'about', 'data-svc': operation.svc, 'data-operation': operation.id, 'aria-label': `Timeline of ${operation.id}` }, 'Timeline'));
}

/** How an operation ended, said so that nobody has to guess. */
export function ending(operation) {
  const [level, word] = words.outcome(operation.outcome);
  const from = operation.from ?? 'the old cluster';
  const moved = operation.kind === 'switchover' || operation.kind === 'failover';
  const done = operation.members || !moved ? 'What was asked for is so.'
    : `${operation.svc} is on ${operation.to ?? from}. Longest wait of a request: ${words.milliseconds(operation.client_stall_ms)}; ${words.loss(operation.lost)}.`;
  const told = {
    done,
    refused: 'Nothing was changed.',
    rolled_back: `Nothing moved in the end: ${from} serves as before.`,
    partial: 'Some of it happened. Look at the service before you do anything else.',
    unknown: 'Nobody knows how it ended. Look at the service before you do anything else.',
    waiting: `Nothing is changed until somebody else agrees, on this page or with: pointsman approve ${operation.id}${operation.expires ? `. It lapses at ${words.clock(operation.expires)}.` : ''}`,
    running: 'It goes on, also when this window is closed.',
  }[operation.outcome];
  return h('div', { class: `ending is-${level}`, 'data-state': operation.outcome },
    h('p', null, h('span', { class: 'shape', 'aria-hidden': 'true' }, words.SHAPES[level]), ' ', h('strong', null, word), '. ', told ?? ''),
    operation.detail ? h('p', null, words.sentence(operation.detail)) : null);
}

/** Everything that is known of one operation, in a window. */
export async function about(svc, known, told) {
  const dialog = $('about');
  show(dialog, known, null);
  dialog.showModal();
  let entries;
  try {
    const path = `/v1/services/${encodeURIComponent(svc)}/timeline?operation=${encodeURIComponent(known.id)}`;
    entries = told ? (await ask(path)).entries : await fromJournal(svc, known);
  } catch (error) {
    entries = [];
    known = { ...known, detail: `${known.detail ? `${known.detail}; ` : ''}the timeline can’t be read: ${error instanceof Refused ? error.message : 'no answer'}` };
  }
  if (dialog.open) show(dialog, known, entries);
}

/** Where no timeline is told, the journal's records of that time stand for it. */
async function fromJournal(svc, operation) {
  const { records } = await ask(`/v1/journal?svc=${encodeURIComponent(svc)}&limit=10000`, { records: [] });
  const begun = Date.parse(operation.started);
  const until = begun + took(operation) + 2000;
  const near = records.filter((record) => Date.parse(record.time) >= begun - 1000 && Date.parse(record.time) <= until);
  return near.map((record) => ({ time: record.time, offset_ms: Date.parse(record.time) - begun, kind: record.kind, words: inWords(record) }));
}

function inWords(record) {
  const detail = record.detail ?? {};
  const about = detail.text ?? detail.step ?? detail.intent ?? detail.node ?? detail.cluster ?? '';
  return `${String(detail.what ?? record.kind).replaceAll('_', ' ')}${about ? ` ${about}` : ''}`;
}

function show(dialog, operation, entries) {
  const pairs = [['By', words.actor(operation.actor)], ['Agreed by', operation.approver || '–'], ['Begun', words.clock(operation.started)],
    ['Took', words.milliseconds(took(operation))], ['Longest wait', words.milliseconds(operation.client_stall_ms)], ['Loss', words.loss(operation.lost)],
    ['Epoch', `${operation.epoch_before} → ${operation.epoch_after ?? operation.epoch_before}`]];
  const most = Math.max(1, ...(operation.phases ?? []).map((phase) => phase.ms));
  lay(dialog, h('div', { class: 'window' },
    h('h2', { id: 'about-title', tabindex: '-1', autofocus: true }, `${words.kind(operation)} ${operation.id}`),
    ending(operation),
    h('p', null, h('span', { class: 'quiet' }, 'Cause '), operation.reason || 'none was given'),
    h('dl', { class: 'facts' }, pairs.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value)))),
    operation.guards?.length ? h('ul', { class: 'reasons' }, operation.guards.map((refusal) => h('li', null, h('span', { class: 'guard' }, refusal.name), ' ', words.sentence(refusal.detail)))) : null,
    operation.phases?.length ? h('ol', { class: 'bars', 'aria-label': 'Phases' }, operation.phases.map((phase) => h('li', null, h('span', null, words.step(phase.name)),
      h('progress', { value: phase.ms, max: most, 'aria-hidden': 'true', tabindex: '-1' }), h('span', { class: 'ms' }, words.milliseconds(phase.ms))))) : null,
    h('h3', null, 'Timeline'),
    entries === null ? h('p', { class: 'quiet' }, 'Reading…') : entries.length
      ? h('ol', { class: 'timeline', tabindex: '0', 'aria-label': 'Timeline' }, entries.map((entry) => h('li', { 'data-kind': entry.kind }, h('span', { class: 'ms' }, offset(entry.offset_ms)), h('span', { class: 'guard' }, entry.kind), h('span', null, entry.words))))
      : h('p', { class: 'quiet' }, 'Nothing more is recorded.'),
    h('div', { class: 'buttons end' }, h('button', { type: 'button', 'data-act': 'close', class: 'main' }, 'Close'))));
}

const offset = (ms) => `${ms < 0 ? '−' : '+'}${(Math.abs(ms) / 1000).toFixed(3)} s`;
