// Requests to the listener that served the page, with a token where one was needed, and the reader of its event stream.

const TOKEN = 'pointsman-token';

/** How far the listener's clock is ahead of this browser's, in milliseconds. */
let ahead = 0;
export const now = () => Date.now() + ahead;

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (text) => sessionStorage.setItem(TOKEN, text),
  drop: () => sessionStorage.removeItem(TOKEN),
};

/** An answer that is no success: the API's own words where it has some. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

function headers(more) {
  const known = token.get();
  return known ? { Authorization: `Bearer ${known}`, ...more } : { ...more };
}

/** One request; gives `{status, body}`, throws `Refused` for an error's answer and anything else where none came. */
export async function call(path, { body, key, limit = 10000 } = {}) {
  const options = { headers: headers({ Accept: 'application/json' }), cache: 'no-store', signal: AbortSignal.timeout(limit) };
  if (body !== undefined) {
    options.method = 'POST';
    options.body = JSON.stringify(body);
    options.headers['Content-Type'] = 'application/json';
    if (key) options.headers['Idempotency-Key'] = key;
  }
  const response = await fetch(path, options);
  const date = Date.parse(response.headers.get('date') ?? '');
  // The header counts whole seconds.
  if (date && Math.abs(date - Date.now()) > 2000) ahead = date - Date.now();
  else if (date) ahead = 0;
  let read = null;
  const text = await response.text();
  try {
    read = text ? JSON.parse(text) : null;
  } catch {
    read = { title: 'An answer that is no JSON', detail: text.slice(0, 200) };
  }
  if (!response.ok) throw new Refused(response.status, read ?? {});
  return { status: response.status, body: read };
}

/** The answer's body, or `instead` where this Pointsman has no such path or nothing under it. */
export async function ask(path, instead) {
  try {
    return (await call(path)).body;
  } catch (error) {
    if (error instanceof Refused && error.status === 404 && instead !== undefined) return instead;
    throw error;
  }
}

/** Follows the events after `last`; returns when the stream ended. `heard` is told of every byte. */
export async function follow({ last, signal, opened, heard, event }) {
  const more = { Accept: 'text/event-stream' };
  if (last !== null) more['Last-Event-ID'] = last;
  const response = await fetch('/v1/events', { headers: headers(more), cache: 'no-store', signal });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let found = { id: null, event: 'message', data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (found.data.length) event(found.event, JSON.parse(found.data.join('\n')), found.id);
        found = { id: null, event: 'message', data: [] };
      } else if (!line.startsWith(':')) {
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (name === 'data') found.data.push(text);
        else if (name === 'id' || name === 'event') found[name] = text;
      }
    }
  }
}
