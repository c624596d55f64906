// Where does a program run best? Times and intervals come from the server; the
// sliders weigh them here: time × price^a × power^b, so that a = 1, b = 0 is
// the server's OBJECTIVE_COST and a = 0, b = 1 its OBJECTIVE_ENERGY.
import {api, attempt, chooser, el, formatNumber, formatTime, intervalPlot, list,
        table} from './lib.js';

const SHOWN = 30;

// Sorted; those left out come last, with the reason.
function judge(candidates, {price, power, deadline, sure}) {
  const judged = candidates.map((c) => {
    const time = sure && c.highNs !== undefined ? c.highNs : c.timeNs;
    let out = '';
    if (price > 0 && !(c.price > 0)) out = 'no price';
    if (power > 0 && !(c.power > 0)) out = 'no power';
    if (time > deadline) out = 'too slow';
    const value = c.timeNs * (price > 0 ? c.price ** price : 1) *
        (power > 0 ? c.power ** power : 1);
    return {...c, value, out};
  });
  return judged.sort((a, b) =>
      (a.out !== '') - (b.out !== '') || a.value - b.value ||
      a.timeNs - b.timeNs);
}

async function load(program) {
  const [ranking, architectures] = await Promise.all([
    api('GET', `/v1/rank?program=${encodeURIComponent(program)}&limit=1000`),
    list('/v1/architectures', 'architectures'),
  ]);
  const known = new Map(architectures.map((a) => [`${a.name}@${a.version}`, a]));
  return ranking.items.map((item) => {
    const about = known.get(item.name) || {};
    return {name: item.name, timeNs: item.timeNs, lowNs: item.lowNs,
            highNs: item.highNs, price: about.pricePerHour,
            power: about.powerWatts,
            strange: item.programOutOfDistribution ||
                item.architectureOutOfDistribution};
  });
}

function slider(name, text, show) {
  const output = el('output', {});
  const input = el('input', {type: 'range', name, min: 0, max: 100, value: 0,
                             step: 1});
  input.addEventListener('input', () => { output.textContent = show(input); });
  return {input, refresh: () => { output.textContent = show(input); },
          label: el('label', {}, text, output, input)};
}

export async function rankView(main, program) {
  const programs = (await list('/v1/programs', 'programs'))
      .filter((p) => p.vectors.length > 0).map((p) => p.name);
  main.append(el('h2', {}, 'Where does it run best?'));
  if (programs.length === 0) {
    main.append(el('p', {}, 'No program has a vector yet. Upload a trace: ',
        el('code', {}, 'perfvec upload TRACE.pvt --program NAME')));
    return;
  }
  const chosen = programs.includes(program) ? program : programs[0];
  const select = chooser('program', 'Program', programs, chosen, (name) => {
    location.hash = `#/rank/${encodeURIComponent(name)}`;
  });
  const candidates = await load(chosen);
  const slowest = Math.max(...candidates.map((c) => c.highNs || c.timeNs));
  const fastest = Math.min(...candidates.map((c) => c.timeNs));
  // From none (the left end) over the slowest down to the fastest.
  const deadlineOf = (input) => input.value === '0' ? Infinity :
      slowest * (fastest / slowest) ** ((input.value - 1) / 99);
  const price = slider('price', 'Price counts',
      (input) => (input.value / 100).toFixed(2));
  const power = slider('power', 'Power counts',
      (input) => (input.value / 100).toFixed(2));
  const deadline = slider('deadline', 'Deadline', (input) =>
      input.value === '0' ? 'none' : formatTime(deadlineOf(input)));
  const sure = el('input', {type: 'checkbox', name: 'sure'});
  const result = el('div', {});

  const draw = () => {
    const weights = {price: price.input.value / 100,
                     power: power.input.value / 100,
                     deadline: deadlineOf(deadline.input),
                     sure: sure.checked};
    const judged = judge(candidates, weights);
    const best = judged[0];
    const shown = judged.slice(0, SHOWN);
    const max = 1.02 * Math.max(...shown.map((c) => c.highNs || c.timeNs));
    const rows = shown.map((c, i) => el('tr', {class: c.out ? 'out' : ''},
        el('td', {class: 'number'}, c.out ? '–' : String(i + 1)),
        el('td', {}, c.name, c.strange ?
            el('span', {class: 'bad', title: 'unlike what the model knows'},
                ' ?') : null),
        el('td', {class: 'number'}, formatTime(c.timeNs)),
        el('td', {class: 'plot'}, intervalPlot({
          max, point: c.timeNs, low: c.lowNs, high: c.highNs,
          deadline: weights.deadline,
          words: c.lowNs === undefined ? formatTime(c.timeNs) :
              `${formatTime(c.lowNs)} to ${formatTime(c.highNs)}`})),
        el('td', {class: 'number wide'},
            c.out || `${formatNumber(c.value / best.value)} ×`)));
    const left = judged.filter((c) => c.out).length;
    result.replaceChildren(
        table([{text: '#', class: 'number'}, 'architecture',
               {text: 'time', class: 'number'},
               `90 % interval, 0 to ${formatTime(max)}`,
               {text: 'to the best', class: 'number wide'}], rows),
        el('p', {class: 'faint'},
            `${judged.length - left} of ${judged.length} fit` +
            (judged.length > SHOWN ? `; the first ${SHOWN} are shown.` : '.') +
            (weights.price + weights.power > 0 && left > 0 ?
              ' Prices and powers are set under Architectures.' : '')));
  };
  for (const control of [price, power, deadline]) {
    control.refresh();
    control.input.addEventListener('input', draw);
  }
  sure.addEventListener('change', draw);
  main.append(
      el('div', {class: 'panel fields'},
          select, price.label, power.label, deadline.label,
          el('label', {class: 'check'}, sure,
              'Meet the deadline also at the interval’s upper end')),
      result);
  await attempt(async () => draw());
}
