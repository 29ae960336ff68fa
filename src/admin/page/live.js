// Keeps in touch: reads everything, follows the events, notices silence, and says since when it hears nothing.

import { call, now, Refused } from './api.js';
import { followTogether, reached } from './shared.js';

/** Silence that is looked into. Events and the stream's own signs of life come at least so often as long as all is well. */
const SILENCE = 2000;
/** How long the look may take. */
const LOOK = 1500;
const LONGEST_PAUSE = 3000;
/** How long the stream's first answer may take. */
const OPENING = 5000;

export const touch = { state: 'starting', heard: now(), since: null, why: '' };

let last = null;
let stop = null;
let looking = false;
let anew = false;

export const soon = (ms) => new Promise((done) => setTimeout(done, ms));

/** Begins the stream anew, as somebody else. */
export function again() {
  anew = true;
  stop?.abort();
}

/** Runs for as long as the page. `read` reads everything, `event` takes one event, `login` asks for a token, `changed` shows the touch. */
export async function live({ read, event, login, changed }) {
  const heard = () => {
    touch.heard = now();
  };
  const found = () => {
    heard();
    if (touch.state === 'live') return;
    touch.state = 'live';
    touch.since = null;
    changed();
  };
  setInterval(() => look(changed), 500);
  document.addEventListener('visibilitychange', () => look(changed));
  let pause = 250;
  let vain = false;
  for (;;) {
    stop = new AbortController();
    const opening = setTimeout(() => stop.abort(), OPENING);
    try {
      await followTogether({
        steal: vain,
        last,
        signal: stop.signal,
        heard,
        opened: () => {
          clearTimeout(opening);
          pause = 250;
          vain = false;
          // Everything is read anew: what was missed is not to be pieced together.
          read().then(found, () => stop.abort());
        },
        event: (name, data, id) => {
          if (id !== null) last = id;
          event(name, data);
        },
      });
      touch.why = 'the stream ended';
    } catch (error) {
      clearTimeout(opening);
      if (anew) {
        anew = false;
        continue;
      }
      touch.why = error instanceof Refused ? error.message : 'no answer';
      if (error instanceof Refused && error.status === 401) {
        await login(error.message);
        continue;
      }
      // An id that this Pointsman doesn't take is of no use any more.
      if (error instanceof Refused && error.status === 400) last = null;
    }
    stop.abort();
    vain = true;
    lost(changed);
    await soon(pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

function lost(changed) {
  if (touch.state === 'lost') return;
  touch.state = 'lost';
  touch.since = touch.heard;
  changed();
}

/** A stream that says nothing may be dead without anybody having said so: ask, and give it up when no answer comes. */
async function look(changed) {
  if (looking || touch.state !== 'live' || now() - touch.heard < SILENCE) return;
  looking = true;
  try {
    await Promise.all([call('/v1/services', { limit: LOOK }), reached(LOOK)]);
    touch.heard = now();
  } catch (error) {
    if (!(error instanceof Refused)) {
      touch.why = 'no answer';
      lost(changed);
      stop?.abort();
    }
  } finally {
    looking = false;
  }
}
