// One event stream for all tabs of a browser: browsers open six connections to an address and no more, so that a stream a tab would let
// the sixth tab block every other one. The tab that holds the lock follows and passes on what it hears; when it closes or loses touch,
// the lock goes to another. Tabs with different tokens share nothing. Where browsers offer no locks (plain http from elsewhere than this
// machine), each tab follows for itself.

import { follow, token } from './api.js';

/** The name under which tabs of the same person meet. A digest, since names of locks are shown by a browser's tools. */
async function meeting() {
  const bytes = new TextEncoder().encode(token.get() ?? '');
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return `pointsman-events-${[...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** How long the tab that follows may take to say so. */
const ANSWER = 500;

let asked = async () => {};

/** Whether what this tab would hear still reaches it: fails when another tab follows and says nothing within `limit` milliseconds. */
export const reached = (limit) => asked(limit);

/** As `follow`. With `steal`, a tab that holds the lock and says nothing loses it to this one. */
export async function followTogether({ steal, ...options }) {
  if (!navigator.locks || !crypto.subtle) return follow(options);
  const name = await meeting();
  const channel = new BroadcastChannel(name);
  try {
    listen(channel, options);
    const dead = steal && (await reached(ANSWER).then(() => false, () => true));
    return await new Promise((done, failed) => {
      options.signal.addEventListener('abort', () => failed(options.signal.reason));
      const lead = () => follow(passedOn(channel, options));
      navigator.locks.request(name, dead ? { steal: true } : { signal: options.signal }, lead).then(done, failed);
    });
  } finally {
    channel.close();
  }
}

/** Takes what another tab passes on; asks for it first, since its stream may have been open for long. */
function listen(channel, { opened, heard, event }) {
  let open = false;
  const waiting = new Set();
  asked = (limit) => new Promise((done, failed) => {
    waiting.add(done);
    setTimeout(() => failed(new Error('the tab that follows for all is silent')), limit);
    channel.postMessage({ kind: 'hello' });
  });
  channel.onmessage = ({ data }) => {
    if (data.kind === 'hello') return;
    waiting.forEach((done) => done());
    waiting.clear();
    if (!open) opened();
    open = true;
    heard();
    if (data.kind === 'event') event(data.name, data.data, data.id);
  };
  channel.postMessage({ kind: 'hello' });
}

/** The same, for the tab that follows: it tells the others too. */
function passedOn(channel, options) {
  let open = false;
  asked = async () => {};
  channel.onmessage = ({ data }) => {
    if (data.kind === 'hello' && open) channel.postMessage({ kind: 'opened' });
  };
  return {
    ...options,
    opened: () => {
      open = true;
      channel.postMessage({ kind: 'opened' });
      options.opened();
    },
    heard: () => {
      channel.postMessage({ kind: 'heard' });
      options.heard();
    },
    event: (name, data, id) => {
      channel.postMessage({ kind: 'event', name, data, id });
      options.event(name, data, id);
    },
  };
}
