// What is about more than one service: switches that wait for a second person, groups, sites.

import { h } from './dom.js';
import * as words from './words.js';

/** Switches that wait, each with what an approver decides. */
export function waiting(list, context) {
  if (!list.length) return null;
  return h('section', { class: 'panel is-work', 'aria-labelledby': 'waiting-title' }, h('h2', { id: 'waiting-title' }, h('span', { class: 'shape', 'aria-hidden': 'true' }, '◆'), ' Waits for a second person'),
    h('ul', { class: 'operations' }, list.map((operation) => one(operation, context))));
}

function one(operation, context) {
  const name = operation.svc ?? operation.group;
  const own = operation.actor === context.who?.name;
  const may = context.may('approver') && !own;
  const where = operation.members ? operation.members.map((member) => `${member.svc} ${member.from ?? ''} → ${member.to ?? ''}`).join(', ') : `${operation.from ?? ''} → ${operation.to ?? ''} at epoch ${operation.epoch_before}`;
  const left = operation.expires ? (Date.parse(operation.expires) - context.now()) / 1000 : null;
  const button = (action, label, main) => h('button', { type: 'button', class: main ? 'main' : null, 'data-act': action, 'data-operation': operation.id, 'data-svc': operation.svc }, label);
  return h('li', { 'data-key': operation.id, 'data-operation': operation.id, 'data-svc': operation.svc, 'data-state': 'waiting' },
    h('span', { class: 'shape', 'aria-hidden': 'true' }, '◆'),
    h('div', null, h('p', null, h('strong', null, `${words.kind(operation)} of ${name}`), `: ${where}`),
      h('p', { class: 'quiet' }, `${words.actor(operation.actor)}: “${operation.reason}”${left === null ? '' : ` · lapses in ${words.span(left)}`}`),
      own && context.may('approver') ? h('p', { class: 'quiet' }, 'You asked for it: somebody else must agree.') : null),
    h('div', { class: 'buttons' }, may ? button('approve', 'Agree…', true) : null, own || context.may('approver') ? button('withdraw', 'Withdraw…') : null));
}

const STATES = { together: ['good', 'together'], split: ['bad', 'split'], switching: ['work', 'switching'], waiting: ['work', 'waits for a second person'] };

/** Groups and sites, where there are any. */
export function together(groups, sites, context) {
  if (!groups.length && !sites.length) return null;
  return [groups.length ? h('section', { class: 'panel', 'data-key': 'groups', 'aria-labelledby': 'groups-title' }, h('h2', { id: 'groups-title' }, 'Groups'), h('ul', { class: 'operations' }, groups.map((group) => row(group, context)))) : null,
    sites.length ? h('section', { class: 'panel', 'data-key': 'sites', 'aria-labelledby': 'sites-title' }, h('h2', { id: 'sites-title' }, 'Sites'), h('ul', { class: 'operations' }, sites.map((site) => place(site, context)))) : null];
}

function row(group, context) {
  const [level, word] = STATES[group.state] ?? ['unknown', group.state];
  const operation = group.operation;
  const button = (action, label, main) => h('button', { type: 'button', class: main ? 'main' : null, 'data-key': action, 'data-act': action, 'data-group': group.name }, label);
  const members = context.members(group.name);
  return h('li', { 'data-key': group.name, 'data-group': group.name, 'data-state': group.state, class: `is-${level}` },
    h('span', { class: 'shape', 'aria-hidden': 'true' }, words.SHAPES[level]),
    h('div', null, h('p', null, h('strong', null, group.name), ` · ${word}${group.site ? ` on ${group.site}` : ''}`),
      h('p', { class: 'quiet' }, `${group.members.join(' → ')} · on an error: ${group.on_error === 'switch_back' ? 'switch back' : 'stop'}`),
      group.note ? h('p', null, words.sentence(group.note)) : null,
      operation ? h('ul', { class: 'members' }, operation.members.map((member) => h('li', { 'data-svc': member.svc, 'data-state': member.outcome }, `${member.svc}: ${words.outcome(member.outcome)[1]}${member.detail ? `, ${member.detail}` : ''}`))) : null),
    context.may('operator') ? h('div', { class: 'buttons', role: 'group', 'aria-label': `Orders for ${group.name}` },
      button('switchover', `Switch ${group.name} over…`, true),
      button('mode', `Mode of ${group.name}…`),
      members.some((one) => one.state !== 'paused') ? button('pause', `Pause failover of ${group.name}…`) : null,
      members.some((one) => one.state === 'paused') ? button('resume', `Resume failover of ${group.name}…`) : null) : null);
}

function place(site, context) {
  const routed = site.routed ?? [];
  return h('li', { 'data-key': site.name, 'data-site': site.name }, h('span', { class: 'shape', 'aria-hidden': 'true' }, routed.length ? '●' : '○'),
    h('div', null, h('p', null, h('strong', null, site.name)), h('p', { class: 'quiet' }, routed.length ? `Serves ${routed.join(', ')}` : 'Serves nothing now')),
    context.may('operator') && routed.length ? h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'risky', 'data-act': 'evacuate', 'data-site': site.name }, `Evacuate ${site.name}…`)) : null);
}
