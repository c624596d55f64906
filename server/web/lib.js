// What the views share: calls, elements, numbers, the interval chart.

let declined = false;
let asking = null;  // one dialog for all calls that were refused

// Resolves to whether there is another token now.
function askForToken(reason) {
  if (declined) return Promise.resolve(false);
  asking = asking || new Promise((resolve) => {
    const input = el('input', {name: 'token', type: 'password', required: true,
        autocomplete: 'off', spellcheck: 'false'});
    const dialog = el('dialog', {class: 'panel', 'aria-labelledby': 'asked'},
        el('form', {method: 'dialog'},
           el('h2', {id: 'asked'}, 'Token'), el('p', {}, reason),
           el('label', {}, 'Token', input),
           el('p', {class: 'buttons'},
              el('button', {class: 'main', value: 'use'}, 'Use token'),
              el('button', {value: '', formnovalidate: true}, 'Cancel'))));
    dialog.addEventListener('close', () => {
      declined = dialog.returnValue !== 'use';
      if (!declined) keepToken(input.value);
      dialog.remove();
      asking = null;
      resolve(!declined);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

// A cookie, since streams of events send no other; gone with the session.
function keepToken(token) {
  document.cookie = `perfvec_token=${token.replace(/[^\w-]/g, '')}; path=/; ` +
      `SameSite=Strict${location.protocol === 'https:' ? '; Secure' : ''}`;
}

// Answers the parsed JSON; throws an Error with the server's own words.
export async function api(method, path, body, signal) {
  const options = {method, signal};
  if (body !== undefined) {
    options.headers = {'Content-Type': 'application/json'};
    options.body = JSON.stringify(body);
  }
  const cookie = document.cookie;
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error('the server does not answer');
  }
  const json = await answer.json().catch(() => ({}));
  // Another call may have asked meanwhile.
  if (answer.status === 401 &&
      (document.cookie !== cookie ||
       await askForToken(json.error.message))) {
    return api(method, path, body);
  }
  if (!answer.ok) {
    throw new Error(json.error ? json.error.message : `HTTP ${answer.status}`);
  }
  return json;
}

// All pages of a listing.
export async function list(path, field) {
  const all = [];
  let token = '';
  do {
    const page = await api('GET', `${path}?pageSize=1000&pageToken=` +
        encodeURIComponent(token));
    all.push(...page[field]);
    token = page.nextPageToken;
  } while (token);
  return all;
}

// el('a', {href: '#', class: 'x', onclick: f}, 'text', child, ...). Text is
// text: what programs are called is never taken for markup.
export function el(name, attributes = {}, ...children) {
  const node = name.startsWith('svg:') ?
      document.createElementNS('http://www.w3.org/2000/svg', name.slice(4)) :
      document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) {
      node.addEventListener(key.slice(2), value);
    } else if (value !== false && value !== undefined && value !== null) {
      node.setAttribute(key, value === true ? '' : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A labelled choice; `chosen` is told the new one.
export function chooser(name, text, options, value, chosen) {
  const select = el('select', {name}, ...options.map(
      (option) => el('option', {selected: option === value}, option)));
  select.addEventListener('change', () => chosen(select.value));
  return el('label', {}, text, select);
}

export function table(headings, rows) {
  return el('div', {class: 'scroll'}, el('table', {},
      el('thead', {}, el('tr', {}, ...headings.map(
          (h) => el('th', {scope: 'col', class: h.class}, h.text || h)))),
      el('tbody', {}, ...rows)));
}

export function say(text, bad = false) {
  const message = document.getElementById('message');
  message.textContent = text;
  message.classList.toggle('bad', bad);
}

// Runs `task` and shows what goes wrong.
export async function attempt(task) {
  try {
    await task();
  } catch (error) {
    say(error.message, true);
  }
}

export function formatTime(ns) {
  for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['µs', 1e3]]) {
    if (ns >= size) return `${formatNumber(ns / size)} ${unit}`;
  }
  return `${formatNumber(ns)} ns`;
}

export function formatNumber(x) {
  return Number(x).toLocaleString('en', {maximumSignificantDigits: 4});
}

export function percent(x) {
  return `${(100 * x).toFixed(1)} %`;
}

// One row of a chart: a point, the range around it, and marks, on a common
// scale [0, max] that all rows of a table share. `words` is what it shows, for
// those who do not see it.
export function intervalPlot({max, point, low, high, mark, deadline, words}) {
  const x = (value) => `${Math.min(100, 100 * value / max)}%`;
  const svg = el('svg:svg', {role: 'img', 'aria-label': words});
  const line = (name, from, to) => svg.append(el('svg:line', {
    class: name, x1: x(from), x2: x(to),
    y1: from === to ? '10%' : '50%', y2: from === to ? '90%' : '50%'}));
  if (low !== undefined) line('range', low, high);
  if (mark !== undefined) line('mark', mark, mark);
  if (deadline !== undefined && deadline < max) {
    line('deadline', deadline, deadline);
  }
  svg.append(el('svg:circle', {class: 'point', r: 4, cx: x(point), cy: '50%'}));
  return svg;
}
