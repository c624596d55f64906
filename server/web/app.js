// The page: which view is shown, and the lists. Needs nothing but the server's
// own /v1/ calls.
import {api, attempt, el, formatNumber, list, say, table} from './lib.js';
import {exploreView} from './explore.js';
import {learnView} from './learn.js';
import {phasesView} from './phases.js';
import {rankView} from './rank.js';

const POLL_MS = 2000;
// Browsers open six connections to a server; some stay for calls.
const WATCHED_JOBS = 3;
const ENDED = ['JOB_STATE_SUCCEEDED', 'JOB_STATE_FAILED', 'JOB_STATE_CANCELLED'];

let leave = [];  // what the view shown must stop when it goes

function every(ms, task) {
  const run = () => {
    if (!document.hidden) attempt(task);
  };
  const timer = setInterval(run, ms);
  leave.push(() => clearInterval(timer));
}

function tagsOf(thing) {
  return Object.entries(thing.tags).map(([k, v]) => `${k}=${v}`).join(' ');
}

async function programsView(main) {
  const programs = await list('/v1/programs', 'programs');
  main.append(el('h2', {}, 'Programs'), table(
      ['name', {text: 'instructions', class: 'number'},
       {text: 'ISA', class: 'wide'}, 'vector', {text: 'tags', class: 'wide'}],
      programs.map((p) => el('tr', {},
          el('td', {}, el('a', {href: `#/rank/${encodeURIComponent(p.name)}`},
              p.name), el('span', {class: 'faint'}, `@${p.version}`)),
          el('td', {class: 'number'}, formatNumber(p.instructions)),
          el('td', {class: 'wide'}, p.isa),
          el('td', {}, p.vectors.length > 0 ? 'yes' : 'not yet'),
          el('td', {class: 'wide faint'}, tagsOf(p))))));
}

// A number of an architecture that is kept when it is changed.
function amount(architecture, field, words) {
  const input = el('input', {type: 'number', min: 0, step: 'any',
      value: architecture[field], 'aria-label': `${words}, ${architecture.name}`});
  input.addEventListener('change', () => attempt(async () => {
    if (input.value === '') return;
    await api('PATCH',
        `/v1/architectures/${encodeURIComponent(architecture.name)}`,
        {[field]: Number(input.value)});
    say(`${words} of ${architecture.name} is ${input.value}`);
  }));
  return el('td', {}, input);
}

async function architecturesView(main) {
  const all = await list('/v1/architectures', 'architectures');
  main.append(el('h2', {}, 'Architectures'), table(
      ['name', 'price per hour', 'power, W', {text: 'kind', class: 'wide'},
       {text: 'tags', class: 'wide'}],
      all.map((a) => el('tr', {},
          el('td', {}, a.name, el('span', {class: 'faint'}, `@${a.version}`)),
          amount(a, 'pricePerHour', 'price per hour'),
          amount(a, 'powerWatts', 'power'),
          el('td', {class: 'wide faint'},
              (a.attributes.kind && a.attributes.kind.text) || ''),
          el('td', {class: 'wide faint'}, tagsOf(a))))));
}

function jobRow(job, cancel) {
  const state = job.state.replace('JOB_STATE_', '').toLowerCase();
  const ended = ENDED.includes(job.state);
  const done = Number(job.instructionsDone);
  return el('tr', {},
      el('td', {}, job.jobId),
      el('td', {}, job.programName,
          el('span', {class: 'faint'}, `@${job.programVersion}`)),
      el('td', {class: {succeeded: 'good', failed: 'bad'}[state]}, state,
          job.error ? el('div', {class: 'faint'}, job.error) : null),
      el('td', {class: 'plot'}, el('progress', {
        value: done, max: Math.max(1, Number(job.instructions)),
        'aria-label': `${formatNumber(done)} of ` +
            `${formatNumber(job.instructions)} instructions`})),
      el('td', {}, ended ? '' : el('button', {onclick: () => cancel(job.jobId)},
          'Cancel')));
}

async function jobsView(main) {
  const jobs = new Map();
  const streams = new Map();
  const body = el('tbody', {});
  const holder = table(['job', 'program', 'state', 'progress', ''], []);
  holder.querySelector('tbody').replaceWith(body);
  main.append(el('h2', {}, 'Jobs'), holder);
  const cancel = (id) => attempt(async () => {
    jobs.set(id, await api('POST', `/v1/jobs/${id}:cancel`));
    draw();
  });
  const draw = () => {
    const focused = document.activeElement &&
        document.activeElement.closest('#main tr');
    const kept = focused && focused.dataset.job;
    body.replaceChildren(...[...jobs.values()].map((job) => {
      const row = jobRow(job, cancel);
      row.dataset.job = job.jobId;
      return row;
    }));
    if (kept) {
      const row = body.querySelector(`[data-job="${CSS.escape(kept)}"] button`);
      if (row) row.focus();
    }
    if (jobs.size === 0) {
      body.append(el('tr', {}, el('td', {colspan: 5, class: 'faint'}, 'none')));
    }
  };
  // Events between polls for the jobs that move.
  const watch = (job) => {
    if (streams.has(job.jobId) || streams.size >= WATCHED_JOBS) return;
    const source = new EventSource(`/v1/jobs/${job.jobId}:watch`);
    const stop = () => {
      source.close();
      streams.delete(job.jobId);
    };
    streams.set(job.jobId, stop);
    source.onmessage = (event) => {
      jobs.set(job.jobId, JSON.parse(event.data));
      draw();
    };
    source.addEventListener('end', stop);
    source.addEventListener('failed', stop);
    source.onerror = stop;
  };
  const poll = async () => {
    const page = await api('GET', '/v1/jobs?pageSize=100');
    jobs.clear();
    for (const job of page.jobs) {
      jobs.set(job.jobId, job);
      if (!ENDED.includes(job.state)) watch(job);
    }
    draw();
  };
  leave.push(() => streams.forEach((stop) => stop()));
  await poll();
  every(POLL_MS, poll);
}

// Each fills the element that it is given; what it returns, if anything, is
// called when it is left.
const VIEWS = {rank: rankView, phases: phasesView, designs: exploreView,
               programs: programsView, architectures: architecturesView,
               jobs: jobsView, learn: learnView};

let shown = 0;
async function show(focus) {
  const [, name, ...parts] = location.hash.split('/');
  const view = VIEWS[name] ? name : 'rank';
  for (const stop of leave) stop();
  leave = [];
  say('');
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#/${view}`) {
      link.setAttribute('aria-current', 'page');
    } else {
      link.removeAttribute('aria-current');
    }
  }
  document.title = `PerfVec: ${view}`;
  const main = document.getElementById('main');
  // A view that is overtaken while it loads draws into nothing.
  const turn = ++shown;
  const draft = el('div', {});
  let stop;
  await attempt(async () => {
    stop = await VIEWS[view](draft, ...parts.map(decodeURIComponent));
  });
  if (turn !== shown) {
    if (stop) stop();
    return;
  }
  if (stop) leave.push(stop);
  // Who changes what a view shows stays at the control.
  const control = main.dataset.view === view &&
      main.contains(document.activeElement) && document.activeElement.name;
  main.replaceChildren(draft);
  main.dataset.view = view;
  if (control) {
    main.querySelector(`[name="${CSS.escape(control)}"]`)?.focus();
  } else if (focus) {
    main.focus();
  }
}

async function status() {
  const server = await api('GET', '/v1/status');
  document.getElementById('server').textContent =
      `${server.workers} worker${Number(server.workers) === 1 ? '' : 's'}, ${server.jobsQueued} queued, ` +
      `${server.jobsRunning} running, version ${server.version}`;
}

window.addEventListener('hashchange', (event) =>
    show(event.newURL.includes('#/')));
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  document.getElementById('main').focus();
});
show(false);
attempt(status);
setInterval(() => document.hidden || attempt(status), 5000);
