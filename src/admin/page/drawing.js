// The drawing of one service: applications, the points, a track to each cluster; the live one is thick. Drawn to the width there is,
// so that its letters never shrink. Shapes and words carry what colours do.

import { h } from './dom.js';
import * as words from './words.js';

const HEALTH = { up: '●', suspect: '◐', down: '✕', unknown: '○' };
const TITLE = 30;
const NODE = 24;
const GAP = 14;
const LETTER = 7.4;

/** A drawing of `width` pixels. */
export function drawing(service, width) {
  const narrow = width < 600;
  const left = narrow ? 34 : 300;
  const room = width - left - 2;
  let y = narrow ? 58 : 6;
  const rows = service.clusters.map((cluster) => {
    const height = TITLE + 20 + Math.max(1, cluster.nodes.length) * NODE;
    const row = { cluster, y, height, middle: y + 22, live: cluster.name === service.route?.cluster };
    y += height + GAP;
    return row;
  });
  const height = Math.max(y - GAP + 6, narrow ? 60 : 84);
  const from = narrow ? { x: 14, y: 44 } : { x: 170, y: 40 };
  const tracks = [...rows].sort((one, two) => Number(one.live) - Number(two.live));
  return h('svg', { class: 'drawing', width, height, role: 'img', 'aria-label': told(service) },
    tracks.map((row) => track(row, from, left, narrow, service)),
    applications(service, narrow, from),
    rows.map((row) => box(row, left, room, service)));
}

/** The same in words. */
function told(service) {
  const live = service.route ? `Traffic of ${words.count(service.connections.client, 'connection')} goes to ${service.route.cluster}, ${service.route.node}.` : 'Traffic goes nowhere.';
  const others = service.clusters.filter((cluster) => cluster.name !== service.route?.cluster);
  return [live, ...others.map((cluster) => `${cluster.name}: ${role(cluster, service)}, ${cluster.health}, ${behind(cluster, service) || 'lag not known'}.`)].join(' ');
}

export function role(cluster, service) {
  const live = cluster.name === service.route?.cluster;
  const part = cluster.drained ? 'drained' : cluster.role;
  return live ? `${part}, live route` : part;
}

/** What stores count their histories in. */
const UNITS = { redis: ' bytes', mysql: ' transactions' };

export function behind(cluster, service) {
  if (cluster.lag_seconds === null || cluster.lag_seconds === undefined) return '';
  const distance = cluster.distance ? `, ${cluster.distance.toLocaleString('en-GB')}${UNITS[service.kind] ?? ''}` : '';
  return `${words.lag(cluster.lag_seconds)} behind${distance}`;
}

function applications(service, narrow, from) {
  const { client, read_client: readers } = service.connections;
  const up = service.connections.shared_upstream + service.connections.pinned_upstream;
  const first = words.count(client, 'connection');
  const second = readers ? `${readers} on the read port` : `${up.toLocaleString('en-GB')} to nodes`;
  if (narrow) {
    return h('g', { class: 'apps' }, h('rect', { x: 1, y: 2, width: 190, height: 40, rx: 6 }),
      h('text', { x: 12, y: 19, class: 'strong' }, first), h('text', { x: 12, y: 34, class: 'small' }, second),
      signal(service, 22, 50));
  }
  return h('g', { class: 'apps' }, h('rect', { x: 1, y: 6, width: 168, height: 68, rx: 6 }),
    h('text', { x: 14, y: 27, class: 'small' }, 'Applications'), h('text', { x: 14, y: 47, class: 'strong' }, first),
    h('text', { x: 14, y: 64, class: 'small' }, second), h('circle', { class: 'points', cx: from.x + 26, cy: from.y, r: 4 }),
    signal(service, 198, 22));
}

/** A bar across the track where nothing passes, or only reads do. */
function signal(service, x, y) {
  const mode = service.mode;
  if (mode === 'open' || (mode === 'closed' && service.state === 'starting')) return null;
  const text = { hold: 'held', read_only: 'reads only', closed: 'closed' }[mode] ?? mode;
  return h('g', { class: `signal signal-${mode}` }, h('text', { x, y: y + 4, class: 'strong' }, `▌${text}`));
}

function track(row, from, left, narrow, service) {
  const down = row.cluster.health === 'down' || row.cluster.drained || row.cluster.role === 'fenced';
  const held = row.live && service.mode !== 'open' && service.mode !== 'read_only';
  const kind = row.live ? (held ? 'live held' : 'live') : down ? 'rest cut' : 'rest';
  const points = from.x + 26;
  const bend = (points + left) / 2 + 12;
  const path = narrow
    ? `M${from.x},${from.y - 2} V${row.middle - 10} Q${from.x},${row.middle} ${from.x + 10},${row.middle} H${left}`
    : `M${from.x},${from.y} H${points} C${bend},${from.y} ${bend - 24},${row.middle} ${left},${row.middle}`;
  const end = { cx: left, cy: row.middle, r: row.live ? 6 : 4.5 };
  return h('g', { class: `track ${kind}`, 'data-key': `track ${row.cluster.name}` }, h('path', { d: path }), h('circle', end));
}

function box(row, left, room, service) {
  const { cluster } = row;
  const x = left + 10;
  const width = room - 10;
  const right = x + width - 14;
  const part = role(cluster, service);
  const name = short(cluster.name, width - 40 - part.length * LETTER);
  const under = [cluster.site, behind(cluster, service), cluster.delay_seconds >= 0.1 ? `${words.lag(cluster.delay_seconds)} to apply` : ''];
  const shown = { class: `cluster ${row.live ? 'is-live' : ''}`, 'data-key': cluster.name, 'data-svc': service.name, 'data-member': cluster.name, 'data-role': cluster.role, 'data-state': cluster.health };
  return h('g', shown, h('rect', { x, y: row.y, width, height: row.height, rx: 8 }),
    h('text', { x: x + 14, y: row.y + 22, class: 'name' }, name),
    h('text', { x: right, y: row.y + 22, class: `part part-${cluster.role}`, 'text-anchor': 'end' }, part),
    h('text', { x: x + 14, y: row.y + 40, class: 'small' }, short(under.filter(Boolean).join(' · '), width - 28)),
    cluster.nodes.map((node, index) => line(node, x + 14, row.y + TITLE + 32 + index * NODE, width - 28, service)));
}

function line(node, x, y, width, service) {
  const probe = node.probe_seconds === null || node.probe_seconds === undefined ? '' : words.milliseconds(node.probe_seconds * 1000);
  const all = [node.health === 'up' ? '' : node.health, probe, node.version].filter(Boolean);
  // Where there is little room the address comes first, and trouble before it.
  let right = all.join(' · ').slice(0, 28);
  while (all.length > (node.health === 'up' ? 0 : 1) && (node.address.length + right.length + 4) * LETTER > width - 20) {
    all.pop();
    right = all.join(' · ');
  }
  const fits = width - (right.length + 1) * LETTER;
  const role = node.role === 'unknown' ? '' : ` ${node.role}`;
  const shown = { class: `node node-${node.health}`, 'data-key': node.address, 'data-svc': service.name, 'data-member': node.address, 'data-role': node.role, 'data-state': node.health };
  return h('g', shown, h('title', null, [`${node.address}${role}, ${node.health}`, node.note].filter(Boolean).join(': ')),
    h('text', { x, y, class: 'shape' }, HEALTH[node.health] ?? '○'),
    h('text', { x: x + 20, y, class: 'address' }, short(node.address, fits - 20)),
    h('text', { x: x + width, y, class: 'small', 'text-anchor': 'end' }, right));
}

function short(text, pixels) {
  const most = Math.max(4, Math.floor(pixels / LETTER));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** The drawing as a table, for screen readers and for whoever prefers one. */
export function table(service) {
  const head = ['Cluster', 'Site', 'Node', 'Role', 'Health', 'Lag', 'Probe', 'Version', 'Note'];
  const rows = service.clusters.flatMap((cluster) => cluster.nodes.map((node) => {
    const live = cluster.name === service.route?.cluster;
    const shown = { 'data-svc': service.name, 'data-member': node.address, 'data-role': node.role, 'data-state': node.health };
    const probe = node.probe_seconds === null || node.probe_seconds === undefined ? '–' : words.milliseconds(node.probe_seconds * 1000);
    const part = live ? `${node.role} (live route)` : cluster.drained ? `${node.role}, drained` : node.role;
    const cells = [cluster.site || '–', node.address, part, node.health, words.lag(node.lag_seconds ?? cluster.lag_seconds), probe, node.version || '–', node.note || '–'];
    return h('tr', shown, h('th', { scope: 'row' }, cluster.name), cells.map((cell) => h('td', null, cell)));
  }));
  return h('div', { class: 'wide', tabindex: '0', role: 'region', 'aria-label': `Nodes of ${service.name}` }, h('table', null,
    h('caption', { class: 'away' }, `Clusters and nodes of ${service.name}`),
    h('thead', null, h('tr', null, head.map((name) => h('th', { scope: 'col' }, name)))), h('tbody', null, rows)));
}
