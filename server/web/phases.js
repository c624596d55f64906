// Where does a program spend its time, and would another machine spend it
// elsewhere? Intervals, their phases and times come from the server; the chart
// shows the time of an instruction over the run, a line for each machine.
import {api, chooser, el, formatNumber, formatTime, list, percent, table}
  from './lib.js';

const COLOURS = 8;  // of phases, then again from the first
const WIDTH = 1000, HEIGHT = 100;  // of the drawing, stretched to the page

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const colour = (phase) => `phase${phase % COLOURS}`;
const ratio = (b, a) => a > 0 && b > 0 ? `${formatNumber(b / a)} ×` : '–';

// Intervals with the share of the run that each stands for, from its begin on.
function intervalsOf(answer) {
  const parts = answer.parts.map((part) => ({
    begin: Number(part.beginInstruction), traced: Number(part.instructions),
    stands: Number(part.instructions) * part.scale, phase: part.phase,
    times: part.timeNs}));
  const whole = sum(parts.map((part) => part.stands));
  let at = 0;
  for (const part of parts) {
    part.from = at / whole;
    at += part.stands;
    part.to = at / whole;
  }
  return parts.filter((part) => part.stands > 0);
}

// One line: steps of the time of an instruction, `top` at the upper edge.
function line(parts, machine, top) {
  const y = (part) => HEIGHT *
      (1 - Math.max(0, part.times[machine] / part.stands) / top);
  const path = parts.map((part, i) => `${i ? 'L' : 'M'}${part.from * WIDTH} ` +
      `${y(part)}H${part.to * WIDTH}`).join('');
  return el('svg:path', {class: `line machine${machine}`, d: path});
}

function chart(answer, parts) {
  const top = 1.05 * Math.max(...parts.flatMap(
      (part) => part.times.map((time) => time / part.stands)));
  const cursor = el('svg:rect', {class: 'cursor', y: 0, height: HEIGHT});
  const svg = el('svg:svg', {class: 'chart', role: 'img',
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none',
      'aria-label': `time of an instruction over the run, 0 to ` +
          `${formatTime(top)}, on ${answer.architectures.join(' and ')}`},
      cursor, ...answer.architectures.map((_, a) => line(parts, a, top)));
  const band = el('svg:svg', {class: 'band', 'aria-hidden': 'true',
      viewBox: `0 0 ${WIDTH} 1`, preserveAspectRatio: 'none'},
      ...parts.map((part) => el('svg:rect', {class: colour(part.phase),
        x: part.from * WIDTH, width: (part.to - part.from) * WIDTH,
        height: 1})));
  const about = el('output', {class: 'about'});
  const slider = el('input', {type: 'range', name: 'interval', min: 1,
      max: parts.length, value: 1, step: 1, 'aria-label': 'interval'});
  const show = () => {
    const part = parts[slider.value - 1];
    cursor.setAttribute('x', part.from * WIDTH);
    cursor.setAttribute('width', (part.to - part.from) * WIDTH);
    const words = `Interval ${slider.value} of ${parts.length}, phase ` +
        `${part.phase + 1}: ` + answer.architectures.map((name, a) =>
            `${formatTime(part.times[a])} on ${name}`).join(', ') +
        (part.times.length > 1 ? ` (${ratio(part.times[1], part.times[0])})` :
            '') + `; instructions ${formatNumber(part.begin)} to ` +
        formatNumber(part.begin + part.traced);
    about.textContent = words;
    slider.setAttribute('aria-valuetext', words);
  };
  slider.addEventListener('input', show);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    const found = parts.findIndex((part) => at < part.to);
    slider.value = found < 0 ? parts.length : found + 1;
    show();
  });
  show();
  return el('figure', {},
      el('figcaption', {class: 'faint'},
          ...answer.architectures.map((name, a) => el('span', {},
              el('span', {class: `key machine${a}`}), `${name}: `,
              formatTime(answer.timeNs[a]), ' ')),
          el('span', {}, `height: ${formatTime(top)} an instruction`)),
      svg, band, slider, about);
}

function phaseTable(answer, parts) {
  const rows = [];
  for (let phase = 0; phase < answer.phases; ++phase) {
    const own = parts.filter((part) => part.phase === phase);
    const times = answer.architectures.map(
        (_, a) => sum(own.map((part) => part.times[a])));
    rows.push(el('tr', {},
        el('td', {}, el('span', {class: `key ${colour(phase)}`}),
            String(phase + 1)),
        el('td', {class: 'number'}, percent(
            sum(own.map((part) => part.to - part.from)))),
        ...times.flatMap((time, a) => [
          el('td', {class: 'number'}, formatTime(time)),
          el('td', {class: 'number wide'}, percent(time / answer.timeNs[a]))]),
        times.length > 1 ?
          el('td', {class: 'number'}, ratio(times[1], times[0])) : null));
  }
  return table(['phase', {text: 'instructions', class: 'number'},
      ...answer.architectures.flatMap((name) => [
        {text: name, class: 'number'}, {text: 'share', class: 'number wide'}]),
      ...(answer.architectures.length > 1 ?
        [{text: 'ratio', class: 'number'}] : [])], rows);
}

export async function phasesView(main, program, on, against) {
  const programs = (await list('/v1/programs', 'programs'))
      .filter((p) => p.vectors.length > 0);
  main.append(el('h2', {}, 'Where does its time go?'));
  if (programs.length === 0) {
    main.append(el('p', {}, 'No program has a vector yet.'));
    return;
  }
  const parted = (p) => p.vectors.some((v) => v.intervals > 0);
  const chosen = programs.find((p) => p.name === program) ||
      programs.find(parted) || programs[0];
  const ranked = (await api('GET', '/v1/rank?limit=1000&program=' +
      encodeURIComponent(chosen.name))).items.map(
      (item) => item.name.split('@')[0]);
  const names = [...ranked].sort();
  const first = names.includes(on) ? on : ranked[0];
  const second = names.includes(against) ? against :
      ranked[ranked.length - 1];
  const go = (to) => {
    location.hash = '#/phases/' + [chosen.name, first, second]
        .map((name, i) => encodeURIComponent(to[i] || name)).join('/');
  };
  main.append(el('div', {class: 'panel fields'},
      chooser('program', 'Program', programs.map((p) => p.name), chosen.name,
          (name) => go([name])),
      chooser('on', 'On', names, first, (name) => go([, name])),
      chooser('against', 'Against', names, second,
          (name) => go([, , name]))));
  if (!parted(chosen)) {
    main.append(el('p', {}, 'No intervals are kept beside its vector: ',
        el('code', {}, `perfvec program represent ${chosen.name} ` +
            '--interval N')));
    return;
  }
  const answer = await api('POST',
      `/v1/programs/${encodeURIComponent(chosen.name)}:analyze`,
      {architectures: first === second ? [first] : [first, second]});
  const parts = intervalsOf(answer);
  main.append(chart(answer, parts), phaseTable(answer, parts));
  if (answer.weighted) {
    main.append(el('p', {class: 'faint'},
        'Intervals are slices of the run; each is drawn as wide as what it ' +
        'stands for.'));
  }
}
