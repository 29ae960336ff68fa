// What stands on the page is described as plain objects and laid over what is there, so that focus, typed text and open details stay.
// Everything becomes a text node or an attribute: no text from anywhere is ever read as markup.

const SVG = 'http://www.w3.org/2000/svg';

/** Describes an element. A kid that is null, undefined or false is left out; anything that is no element is text. */
export function h(tag, attributes, ...kids) {
  const there = kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false);
  return { tag, attributes: attributes ?? {}, kids: there.map((kid) => (typeof kid === 'object' ? kid : String(kid))) };
}

export const $ = (id) => document.getElementById(id);

/** Makes the element's children what `kids` describes. */
export function lay(parent, ...kids) {
  children(parent, h('x', null, kids).kids, parent.namespaceURI === SVG);
}

function children(parent, kids, svg) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const kid of kids) {
    const known = typeof kid === 'object' ? keyed.get(kid.attributes['data-key']) : undefined;
    const old = known ?? at;
    if (old && fits(old, kid)) {
      if (old === at) at = at.nextSibling;
      else parent.insertBefore(old, at);
      if (typeof kid === 'object') update(old, kid, svg);
      else if (old.data !== kid) old.data = kid;
    } else {
      parent.insertBefore(make(kid, svg), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function fits(old, kid) {
  if (typeof kid !== 'object') return old.nodeType === Node.TEXT_NODE;
  return old.nodeType === Node.ELEMENT_NODE && old.localName === kid.tag && old.dataset.key === kid.attributes['data-key'];
}

function make(kid, svg) {
  if (typeof kid !== 'object') return document.createTextNode(kid);
  const inside = svg || kid.tag === 'svg';
  const element = inside ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  update(element, kid, inside);
  return element;
}

function update(element, kid, svg) {
  const wanted = new Map();
  for (const [name, value] of Object.entries(kid.attributes)) {
    if (value !== null && value !== undefined && value !== false) wanted.set(name, value === true ? '' : String(value));
  }
  for (const name of element.getAttributeNames()) {
    // Whether details are open is the reader's choice.
    if (!wanted.has(name) && !(name === 'open' && kid.tag === 'details')) element.removeAttribute(name);
  }
  for (const [name, value] of wanted) if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  children(element, kid.kids, svg || kid.tag === 'svg');
}

/** How many lines for screen readers are kept: several in one moment are all read out. */
const LINES = 5;

/** Says something to screen readers once. */
export function say(words) {
  const line = document.createElement('p');
  line.textContent = words;
  $('say').append(line);
  while ($('say').childElementCount > LINES) $('say').firstElementChild.remove();
}
