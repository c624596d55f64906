// Learning an architecture from a pasted table of run times.
import {api, attempt, el, formatTime, intervalPlot, percent, say, table}
  from './lib.js';

const UNITS = {ns: 1, us: 1e3, 'µs': 1e3, ms: 1e6, s: 1e9, m: 6e10, min: 6e10};

// "mcf 12.3ms, 12.5ms" a line; spaces, tabs, commas, semicolons between.
export function parseRuns(text) {
  const runs = [];
  text.split('\n').forEach((line, i) => {
    const words = line.replace(/#.*/, '').split(/[\s,;=]+/).filter(Boolean);
    if (words.length === 0) return;
    const times = words.slice(1).map((word) => {
      const match = /^([0-9.]+(?:e[+-]?[0-9]+)?)([a-zµ]+)$/i.exec(word);
      const size = match && UNITS[match[2]];
      if (!size || !(Number(match[1]) > 0)) {
        throw new Error(`line ${i + 1}: expected a time such as 12.3ms, ` +
            `found '${word}'`);
      }
      return Number(match[1]) * size;
    });
    if (times.length === 0) {
      throw new Error(`line ${i + 1}: expected a program and its times`);
    }
    runs.push({program: words[0], timeNs: times});
  });
  if (runs.length === 0) throw new Error('there is no run in the table');
  return runs;
}

function report(architecture) {
  const learned = architecture.vectors[0].learned;
  const max = 1.02 * Math.max(...learned.programs.flatMap(
      (p) => [p.timeNs, p.fittedNs, p.leftOutNs]));
  const rows = learned.programs.map((p) => el('tr',
      {class: p.setAside ? 'out' : ''},
      el('td', {}, p.program, p.setAside ? ' (set aside)' : ''),
      el('td', {class: 'number'}, formatTime(p.timeNs)),
      el('td', {class: 'number wide'}, formatTime(p.fittedNs)),
      el('td', {class: 'number'}, p.leftOutNs > 0 ?
          formatTime(p.leftOutNs) : '–'),
      el('td', {class: 'plot'}, intervalPlot({
        max, point: p.leftOutNs || p.fittedNs, mark: p.timeNs,
        words: `measured ${formatTime(p.timeNs)}, predicted without it ` +
            formatTime(p.leftOutNs || p.fittedNs)}))));
  return el('div', {},
      el('h3', {}, 'What was learned'),
      el('p', {}, `Fits the times given to ${percent(learned.fitError)}; ` +
          (learned.leftOutError > 0 ? `a program left out is predicted to ` +
          `${percent(learned.leftOutError)}. ` : '') +
          `Most like ${learned.nearestArchitecture}` +
          (learned.outOfDistribution ?
            '; unlike the machines that the model knows.' : '.')),
      ...learned.warnings.map((w) => el('p', {class: 'bad'}, w)),
      table(['program', {text: 'measured', class: 'number'},
             {text: 'fitted', class: 'number wide'},
             {text: 'without it', class: 'number'},
             'measured (bar), without it (dot)'], rows));
}

export function learnView(main) {
  const field = (name, text, more) => {
    const input = el('input', {name, autocomplete: 'off', ...more});
    return {input, label: el('label', {}, text, input)};
  };
  const name = field('name', 'Name of the machine',
      {required: true, pattern: '([A-Za-z0-9._\\-]+~)?' +
          '[A-Za-z0-9][A-Za-z0-9._+\\-]{0,127}'});
  const number = {type: 'number', min: 0, step: 'any'};
  const price = field('price', 'Price per hour (optional)', number);
  const power = field('power', 'Power in watts (optional)', number);
  const runs = el('textarea', {name: 'runs', required: true, spellcheck: false,
      placeholder: 'zlib_deflate 12.3ms\nlua_fib 8.1ms, 8.3ms, 8.2ms'});
  const result = el('div', {'aria-live': 'polite'});
  const learn = async (dryRun) => {
    say('');
    const architecture = {name: name.input.value};
    if (price.input.value) architecture.pricePerHour = Number(price.input.value);
    if (power.input.value) architecture.powerWatts = Number(power.input.value);
    const answer = await api('POST', '/v1/architectures:learn',
        {architecture, runs: parseRuns(runs.value), dryRun});
    result.replaceChildren(report(answer.architecture));
    if (!dryRun) {
      say(`${answer.architecture.name}@${answer.architecture.version} is kept`);
    }
  };
  const form = el('form', {class: 'panel'},
      el('div', {class: 'fields'}, name.label, price.label, power.label),
      el('label', {}, 'Run times: a program and its times a line (ns, us, ms, s)',
          runs),
      el('p', {}, el('button', {type: 'submit', value: 'try'}, 'Try'), ' ',
          el('button', {type: 'submit', class: 'main', value: 'keep'}, 'Keep')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const dryRun = !event.submitter || event.submitter.value === 'try';
    attempt(() => learn(dryRun));
  });
  main.append(el('h2', {}, 'Learn a machine from run times'), form, result);
}
