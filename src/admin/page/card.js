// One service on the page: its verdict, its drawing, whether a switch would work, what runs, what was, and the buttons.

import { h } from './dom.js';
import * as words from './words.js';
import { drawing, table } from './drawing.js';
import { history, running } from './operation.js';

/** The line of a service at the top. */
export function verdictLine(service, operations) {
  const found = words.verdict(service);
  const more = found.level === 'good' ? `${found.more} ${words.cost(operations)}` : found.more;
  return h('li', { 'data-key': service.name, 'data-svc': service.name, 'data-state': service.state, class: `verdict is-${found.level}` },
    h('a', { href: `#svc-${service.name}` },
      h('span', { class: 'shape', 'aria-hidden': 'true' }, words.SHAPES[found.level]),
      h('span', { class: 'which' }, service.name),
      h('strong', { class: 'word' }, found.word),
      h('span', { class: 'more' }, more)));
}

/** The whole card. */
export function card(service, context) {
  const found = words.verdict(service);
  const operations = context.operations.get(service.name) ?? [];
  return h('article', { 'data-key': service.name, 'data-svc': service.name, 'data-state': service.state, class: `card is-${found.level}`, id: `svc-${service.name}`, tabindex: '-1', 'aria-labelledby': `svc-${service.name}-name` },
    h('header', { class: 'card-head' },
      h('h2', { id: `svc-${service.name}-name` }, service.name),
      h('p', { class: 'kind' }, service.kind),
      h('p', { class: 'state' }, h('span', { class: 'shape', 'aria-hidden': 'true' }, words.SHAPES[found.level]), ' ', found.word),
      facts(service)),
    service.note ? h('p', { class: 'note' }, words.sentence(service.note)) : null,
    service.operation?.outcome === 'running' ? running(service.operation) : null,
    h('div', { class: 'map', 'data-key': 'map' }, drawing(service, context.width)),
    h('details', { class: 'nodes', 'data-key': 'nodes' }, h('summary', null, 'The same as a table'), table(service)),
    h('div', { class: 'readiness', 'data-key': 'readiness' },
      readiness('switchover', service.switchover_ready, service, words.cost(operations)),
      readiness('failover', service.failover_ready, service, words.expectedLoss(service))),
    warnings(service),
    buttons(service, context),
    history(service, operations),
    people(service));
}

function facts(service) {
  const pairs = [['Mode', words.mode(service.mode)], ['Epoch', service.epoch]];
  if (service.route?.since) pairs.push(['Route since', words.since(service.route.since)]);
  if (service.read_route) pairs.push(['Reads from', service.read_route.cluster]);
  return h('dl', { class: 'facts' }, pairs.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}

function readiness(what, found, service, price) {
  const yes = found.ready;
  const head = [`Ready for ${what}: `, h('strong', null, yes ? 'yes' : 'no')];
  return h('section', { class: `ready ${yes ? 'is-good' : 'is-warn'}`, 'data-svc': service.name, 'data-ready': what, 'data-state': yes ? 'yes' : 'no' },
    h('h3', null, h('span', { class: 'shape', 'aria-hidden': 'true' }, yes ? '✓' : '✕'), ' ', head, yes ? (found.to ? `, to ${found.to}` : '') : ', because'),
    yes ? null : reasons(found.reasons),
    h('p', { class: 'price' }, price));
}

/** Guards that say no, with what can be done about each. */
export function reasons(list) {
  if (!list.length) return h('p', null, 'The reason isn’t known yet.');
  return h('ul', { class: 'reasons' }, list.map((refusal) => h('li', { 'data-guard': refusal.name },
    h('span', { class: 'guard' }, refusal.name.replaceAll('_', ' ')), ' ', words.sentence(refusal.detail), ' ', h('span', { class: 'advice' }, words.advice(refusal.name)))));
}

function warnings(service) {
  if (!service.warnings?.length) return null;
  return h('ul', { class: 'warnings', 'aria-label': `Warnings of ${service.name}` }, service.warnings.map((text) => h('li', null, h('span', { class: 'shape', 'aria-hidden': 'true' }, '▲'), ' ', words.sentence(text))));
}

function buttons(service, context) {
  if (!context.may('operator')) return h('p', { class: 'quiet', 'data-key': 'buttons' }, 'You may look: the role viewer changes nothing.');
  const button = (action, label, more = {}) => h('button', { type: 'button', 'data-key': `${action} ${more.cluster ?? ''}`, 'data-act': action, 'data-svc': service.name, 'data-cluster': more.cluster, class: more.class }, label);
  const others = service.clusters.filter((cluster) => cluster.name !== service.route?.cluster);
  const approval = service.require_approval ? h('span', { class: 'quiet' }, 'A switch by hand needs a second person.') : null;
  return h('div', { class: 'buttons', 'data-key': 'buttons', role: 'group', 'aria-label': `Orders for ${service.name}` },
    button('switchover', 'Switch over…', { class: 'main' }),
    gone(service) ? button('failover', 'Fail over…', { class: 'risky' }) : null,
    button('mode', 'Mode…'),
    service.state === 'paused' ? button('resume', 'Resume failover…') : button('pause', 'Pause failover…'),
    others.map((cluster) => (cluster.drained ? button('restore', `Restore ${cluster.name}…`, { cluster: cluster.name }) : button('drain', `Drain ${cluster.name}…`, { cluster: cluster.name }))),
    approval,
    gone(service) ? null : h('span', { class: 'quiet' }, 'Fail over is offered when the primary is gone.'));
}

/** Whether a failover by hand could make sense: while the primary answers it is refused, and a planned switch loses nothing. */
function gone(service) {
  const routed = service.clusters.find((cluster) => cluster.name === service.route?.cluster);
  return routed?.health !== 'up';
}

function people(service) {
  const practised = service.practised ?? [];
  const who = practised.map((one) => `${one.name} (${one.rehearsal ? 'rehearsal, ' : ''}${words.since(one.time)} ago)`);
  const list = who.length ? who.join(', ') : 'nobody yet; at least two people should have';
  return h('footer', { class: 'people', 'data-key': 'people' },
    h('dl', null, h('div', null, h('dt', null, 'Call'), h('dd', { class: 'on-call' }, service.on_call || 'nobody is named: set on_call')),
      h('div', null, h('dt', null, 'Switched it by hand'), h('dd', null, list)),
      service.groups?.length ? h('div', null, h('dt', null, 'Switches with'), h('dd', null, service.groups.join(', '))) : null));
}
