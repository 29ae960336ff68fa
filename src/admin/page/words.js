// Plain words for what the API says: verdicts, guards, outcomes, durations. A shape goes with each, so that no colour is needed.

import { now } from './api.js';

export const SHAPES = { good: '●', work: '◆', warn: '▲', bad: '■', unknown: '○' };

/** What an operator can do about a guard that says no. */
const ADVICE = {
  reachable: 'Look at that node: is its process up, is the network to it open, is the login right?',
  eligible: 'Choose another cluster, or put this one back with Restore.',
  primary: 'A planned switch needs a primary that answers. If it is gone for good, a failover is the way.',
  lag: 'Wait until the standby has caught up; see what loads it or its link.',
  lineage: 'This node has another history than the primary. It must be rebuilt as a standby first: pointsman rebuild.',
  fit: 'Make the users, rights and settings of both nodes alike; pointsman check --connect lists the statements.',
  difference: 'See what differs. If applications can live with it, go on in spite of it.',
  rights: 'Pointsman’s own login lacks a right there; pointsman check --connect lists the statement.',
  evidence: 'Nobody else confirms that the primary is gone. Look yourself before you fail over.',
  tilt: 'Pointsman itself was stopped for a moment and judges anew: wait some seconds.',
  paused: 'Automatic failover is paused; Resume turns it on again.',
  cooldown: 'This cluster failed a short time ago. Wait, or go on in spite of it when you know why it failed.',
  fence: 'An old primary is not a standby yet. Wait for its return, or rebuild it.',
  sessions: 'Wait for these sessions to end, or allow that they are cut.',
  journal: 'The journal can’t be written: free space on its disk.',
  busy: 'Wait for the other operation to end; it is shown on this page.',
  approval: 'A second person must agree.',
  epoch: 'The route moved since you looked. Look again, then decide.',
  identity: 'Two managers or two primaries: find out which one is right before anything is moved.',
  route: 'The route isn’t known or the service isn’t open: look at its state and mode.',
};
/** Guards that the API lets nobody pass. */
const FIRM = new Set(['reachable', 'primary', 'busy', 'epoch', 'route', 'identity']);

export const advice = (guard) => ADVICE[guard] ?? '';
export const firm = (guard) => FIRM.has(guard);

const MODES = { open: 'open', read_only: 'read only', hold: 'held', closed: 'closed' };
export const mode = (name) => MODES[name] ?? name;

/** Whether applications are served: `yes`, `reads`, `waits` or `no`. */
function served(service) {
  const routed = service.clusters.find((cluster) => cluster.name === service.route?.cluster);
  if (!service.route || service.mode === 'closed') return 'no';
  if (routed && routed.health === 'down') return service.state === 'holding' || service.state === 'switching' ? 'waits' : 'no';
  if (service.mode === 'hold' || service.state === 'holding') return 'waits';
  return service.mode === 'read_only' ? 'reads' : 'yes';
}

/** The one line a service: its level, the word before it, and what would happen. */
export function verdict(service) {
  const where = service.route ? `on ${service.route.cluster}` : '';
  const state = served(service);
  const operation = service.operation;
  if (operation && operation.outcome === 'running') {
    const to = operation.to ? ` to ${operation.to}` : '';
    return { level: 'work', word: 'Switching', more: `${kind(operation)}${to} is under way${state === 'waits' ? '; requests wait' : ''}.` };
  }
  if (service.state === 'starting') return { level: 'unknown', word: 'Starting', more: 'Asking every node for its role.' };
  if (state === 'no') {
    const why = service.mode === 'closed' && service.route ? 'Closed by an operator.' : sentence(service.note) || 'No primary serves.';
    return { level: 'bad', word: 'Not served', more: why };
  }
  if (state === 'waits') return { level: 'bad', word: 'Requests wait', more: sentence(service.note) || 'Held.' };
  if (service.state === 'blocked' || service.state === 'isolated') {
    return { level: 'bad', word: service.state === 'blocked' ? 'Blocked' : 'Isolated', more: sentence(service.note) };
  }
  if (service.state === 'suspect') return { level: 'warn', word: 'In doubt', more: sentence(service.note) };
  const up = state === 'reads' ? `Read only ${where}` : `Up ${where}`;
  if (service.state === 'returning') {
    const none = !service.switchover_ready.ready && !service.failover_ready.ready;
    return { level: 'warn', word: up, more: `${none ? 'No switch would work now: ' : ''}${none ? service.note : sentence(service.note)}${none ? '.' : ''}` };
  }
  if (service.state === 'paused') return { level: 'warn', word: up, more: sentence(service.note) };
  if (!service.switchover_ready.ready || !service.failover_ready.ready) {
    const both = !service.switchover_ready.ready && !service.failover_ready.ready;
    const what = both ? 'No switch would work' : service.switchover_ready.ready ? 'A failover would not work' : 'A planned switch would not work';
    const reasons = service.switchover_ready.ready ? service.failover_ready.reasons : service.switchover_ready.reasons;
    return { level: 'warn', word: up, more: `${what}: ${reasons[0]?.detail ?? 'the reason is not known'}.` };
  }
  if (operation?.outcome === 'waiting') return { level: 'work', word: up, more: `${kind(operation)} to ${operation.to ?? ''} waits for a second person.` };
  return { level: state === 'reads' ? 'warn' : 'good', word: up, more: `A switch to ${service.switchover_ready.to ?? 'the standby'} would work.` };
}

/** What the last planned switch cost, as the best guess of what the next one will. */
export function cost(operations) {
  const last = operations.find((operation) => operation.kind === 'switchover' && operation.outcome === 'done' && operation.client_stall_ms !== null);
  if (!last) return 'What it costs isn’t known yet: no switch is remembered.';
  const waited = last.client_stall_ms < 0.05 ? 'found no request to hold' : `kept requests waiting for ${milliseconds(last.client_stall_ms)} at most`;
  return `The last one ${waited}, ${loss(last.lost)}.`;
}

/** What a failover now would lose, from the lag of where it would go. */
export function expectedLoss(service) {
  const to = service.clusters.find((cluster) => cluster.name === (service.failover_ready.to ?? service.switchover_ready.to));
  if (!to || to.lag_seconds === null || to.lag_seconds === undefined) return 'What a failover would lose isn’t known.';
  const seconds = to.lag_seconds < 0.1 ? 'less than 0.1 s' : seconds1(to.lag_seconds);
  return `A failover now would lose what ${to.name} hasn’t received: ${seconds} of writes.`;
}

export function loss(lost) {
  if (!lost) return 'loss not known';
  if (lost.count === 0 && lost.known) return 'nothing lost';
  if (lost.count === 0) return 'loss not known yet';
  return `${lost.known ? '' : 'at most '}${lost.count} ${lost.unit} lost`;
}

const OUTCOMES = {
  done: ['good', 'Done'],
  refused: ['warn', 'Refused, nothing changed'],
  rolled_back: ['warn', 'Failed and rolled back'],
  partial: ['bad', 'Partly done, look'],
  unknown: ['bad', 'Outcome unknown, look'],
  running: ['work', 'Under way'],
  waiting: ['work', 'Waits for a second person'],
};
export const outcome = (name) => OUTCOMES[name] ?? ['unknown', name ?? 'Its turn has not come'];

const KINDS = { switchover: 'Planned switch', failover: 'Failover', mode: 'Mode', pause: 'Pause', resume: 'Resume', drain: 'Drain', restore: 'Restore' };
export const kind = (operation) => `${KINDS[operation.kind] ?? operation.kind ?? 'Group'}${operation.rehearsal ? ' (rehearsal)' : ''}`;

const STEPS = {
  approach: 'Get ready', close: 'Hold requests', fence: 'Stop old primary', catch_up: 'Catch up', hand_over: 'Hand over', promote: 'Promote',
  serve: 'Serve', demote: 'Old one follows', verify: 'Look again', abort: 'Undo',
};
const PLAN = ['approach', 'close', 'fence', 'catch_up', 'hand_over', 'promote', 'serve', 'demote', 'verify'];
/** The steps that a switch takes when all goes well; a dead primary can neither be stopped in order nor hand over. */
export const plan = (operation) => (operation.kind === 'failover' ? PLAN.filter((name) => name !== 'fence' && name !== 'hand_over') : PLAN);
export const step = (name) => STEPS[name] ?? name;

/** By whom: Pointsman's own decisions are called that. */
export const actor = (name) => (name === 'pointsman' ? 'Pointsman itself' : name || 'nobody');

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`;
}

const seconds1 = (value) => (value < 10 ? `${value.toFixed(1)} s` : span(value));

/** A lag in words; a dash where it isn't known. */
export const lag = (value) => (value === null || value === undefined ? '–' : seconds1(value));

/** A length of time as a person says it. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 && whole % 60 ? ` ${whole % 60} s` : ''}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h${Math.floor((whole % 3600) / 60) ? ` ${Math.floor((whole % 3600) / 60)} min` : ''}`;
  const days = Math.floor(whole / 86400);
  return `${days} day${days === 1 ? '' : 's'}`;
}

export const since = (time) => span((now() - Date.parse(time)) / 1000);

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
/** The time of day; with the day where it isn't today. */
export function clock(time) {
  const date = new Date(time);
  const day = DAY.format(date);
  return day === DAY.format(new Date(now())) ? CLOCK.format(date) : `${day}, ${CLOCK.format(date)}`;
}

export function sentence(text) {
  if (!text) return '';
  const first = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString('en-GB')} ${number === 1 ? one : many}`;
