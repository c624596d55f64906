// Which design is best? The space is pasted as `perfvec explore` reads it from
// a file; the server trains a network on the known designs and predicts all,
// and the map shows two parameters, with the others at their best.
import {api, attempt, chooser, el, formatNumber, formatTime, intervalPlot, list,
        percent, say, table} from './lib.js';

const BEST_SHOWN = 10;
const ALL_DESIGNS = 100000;  // as many as the server ranks
const FIELDS = ['parameters', 'constants', 'constraints', 'samples', 'programs',
                'objective', 'limits', 'front', 'confidence'];
const EXAMPLE = `{"parameters": [
  {"name": "l1_kb", "type": "integer", "values": [4, 8, 16, 32], "scale": "log"},
  {"name": "policy", "labels": ["lru", "random"]}],
 "samples": [
  {"architecture": "small", "parameters": {"l1_kb": 4, "policy": "lru"}}, ...],
 "objective": "(1000 + 10*l1_kb) * time"}`;

let written = '';  // what stood in the form when it was left

// The request of a space file; throws an Error that names what is wrong.
export function toRequest(text, program) {
  let space;
  try {
    space = JSON.parse(text);
  } catch (error) {
    throw new Error(`the space is not JSON: ${error.message}`);
  }
  const object = (value, place) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw new Error(`${place}: expected an object`);
    }
    return value;
  };
  const array = (value, place) => {
    if (value !== undefined && !Array.isArray(value)) {
      throw new Error(`${place}: expected a list`);
    }
    return value || [];
  };
  const unknown = Object.keys(object(space, 'the space'))
      .find((key) => !FIELDS.includes(key));
  if (unknown) throw new Error(`the space: '${unknown}' is not known`);
  const parameters = array(space.parameters, 'parameters').map((p) => {
    if (![undefined, 'log', 'linear'].includes(object(p, 'parameters').scale)) {
      throw new Error(`parameter ${p.name}: expected the scale log or linear`);
    }
    return {name: p.name, type: p.type && String(p.type).toUpperCase(),
            values: array(p.values, p.name), labels: array(p.labels, p.name),
            logScale: p.scale === 'log'};
  });
  const samples = array(space.samples, 'samples').map((sample) => {
    const at = object(object(sample, 'samples').parameters,
        `sample ${sample.architecture}`);
    return {architecture: sample.architecture, point: parameters.map((p) => {
      const value = p.labels.length > 0 ? p.labels.indexOf(at[p.name]) :
          at[p.name];
      if (!Number.isFinite(value) || (p.labels.length > 0 && value < 0)) {
        throw new Error(`sample ${sample.architecture}: ${p.name}: expected ` +
            (p.labels.length > 0 ? 'one of its labels' : 'a number'));
      }
      return value;
    })};
  });
  const programs = array(space.programs, 'programs').map(
      (p) => typeof p === 'string' ? {program: p} : object(p, 'programs'));
  return {parameters, samples, constants: space.constants,
          constraints: space.constraints, limits: space.limits,
          front: space.front, objective: space.objective,
          confidence: space.confidence,
          programs: programs.length > 0 ? programs : [{program}],
          surface: true, limit: ALL_DESIGNS};
}

const textOf = (parameter, value) => parameter.labels.length > 0 ?
    parameter.labels[value] : formatNumber(value);

// Designs of one program: what they are, and how they rank from 0 on; without a
// rank are those that the limits leave out.
function designsOf(request, answer, times) {
  const width = request.parameters.length;
  const designs = times.timeNs.map((time, i) => ({
    at: answer.points.slice(i * width, (i + 1) * width), timeNs: Number(time),
    lowNs: Number(times.lowNs[i]), highNs: Number(times.highNs[i]),
    objective: Number(times.objective[i])}));
  times.ranking.forEach((design, rank) => { designs[design].rank = rank; });
  return designs;
}

// The arrow keys move through a table's cells, of which the tabulator stops at
// one; `show` is told of the cell that has the focus.
function walk(grid, show) {
  const cells = grid.map((row) => row.map((entry) => entry.cell));
  const place = (cell) => {
    const row = cells.findIndex((line) => line.includes(cell));
    return [row, row < 0 ? -1 : cells[row].indexOf(cell)];
  };
  const moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0],
                 ArrowDown: [1, 0]};
  cells.flat().forEach((cell) => {
    cell.addEventListener('keydown', (event) => {
      if (!moves[event.key]) return;
      event.preventDefault();
      const [row, column] = place(cell);
      const next = cells[row + moves[event.key][0]]?.[
          column + moves[event.key][1]];
      if (next) next.focus();
    });
    cell.addEventListener('focus', () => {
      for (const other of cells.flat()) other.tabIndex = other === cell ? 0 : -1;
      const [row, column] = place(cell);
      show(grid[row][column].design);
    });
    cell.addEventListener('click', () => cell.focus());
  });
}

function heatMap(request, designs, across, down) {
  const {parameters} = request;
  const valuesOf = (p) => p < 0 ? [undefined] :
      [...new Set(designs.map((d) => d.at[p]))].sort((a, b) => a - b);
  const xs = valuesOf(across), ys = valuesOf(down);
  const best = new Map();
  for (const design of designs) {
    const key = `${design.at[across]} ${design.at[down]}`;
    const before = best.get(key);
    if (design.rank !== undefined && !(before && before.rank < design.rank)) {
      best.set(key, design);
    }
  }
  const shown = [...best.values()].map((d) => d.objective);
  const least = Math.min(...shown), most = Math.max(...shown);
  const words = (d) => parameters.map(
      (p, i) => `${p.name} ${textOf(p, d.at[i])}`).join(', ') +
      `: ${formatTime(d.timeNs)} (${formatTime(d.lowNs)} to ` +
      `${formatTime(d.highNs)}), objective ${formatNumber(d.objective)}, ` +
      `number ${d.rank + 1} of all`;
  const about = el('p', {class: 'about', role: 'status'});
  const grid = ys.map((y) => xs.map((x) => {
    const design = best.get(`${x} ${y}`);
    if (!design) return {cell: el('td', {tabindex: -1, class: 'out'}, '–')};
    // From the best, 0, to the worst, 1.
    const heat = most > least ?
        (design.objective - least) / (most - least) : 0;
    const cell = el('td', {tabindex: design.rank === 0 ? 0 : -1,
      class: design.rank === 0 ? 'heat best' : 'heat'},
      least > 0 ? (design.objective / least).toFixed(2) :
        formatNumber(design.objective));
    cell.style.setProperty('--heat', `${(100 * heat).toFixed(1)}%`);
    return {design, cell};
  }));
  const show = (design) => {
    about.textContent = design ? words(design) : 'the limits allow none here';
  };
  walk(grid, show);
  const winner = designs.find((d) => d.rank === 0);
  if (winner) show(winner);
  const nameOf = (p) => p < 0 ? '' : parameters[p].name;
  return el('div', {},
      el('div', {class: 'scroll'}, el('table', {class: 'map', role: 'grid',
          'aria-label': 'objective of designs'},
          el('thead', {}, el('tr', {},
              el('th', {scope: 'col'}, `${nameOf(down)} \\ ${nameOf(across)}`),
              ...xs.map((x) => el('th', {scope: 'col'}, x === undefined ? '' :
                  textOf(parameters[across], x))))),
          el('tbody', {}, ...ys.map((y, i) => el('tr', {},
              el('th', {scope: 'row'}, y === undefined ? '' :
                  textOf(parameters[down], y)),
              ...grid[i].map((entry) => entry.cell)))))),
      about);
}

function bestDesigns(request, designs) {
  const ranked = designs.filter((d) => d.rank < BEST_SHOWN)
      .sort((a, b) => a.rank - b.rank);
  const max = 1.02 * Math.max(...ranked.map((d) => d.highNs));
  return table([{text: '#', class: 'number'},
      ...request.parameters.map((p) => ({text: p.name, class: 'number'})),
      {text: 'time', class: 'number'}, {text: 'interval', class: 'wide'},
      {text: 'objective', class: 'number'}],
      ranked.map((d) => el('tr', {},
          el('td', {class: 'number'}, String(d.rank + 1)),
          ...request.parameters.map((p, i) =>
              el('td', {class: 'number'}, textOf(p, d.at[i]))),
          el('td', {class: 'number'}, formatTime(d.timeNs)),
          el('td', {class: 'plot wide'}, intervalPlot({max, point: d.timeNs,
            low: d.lowNs, high: d.highNs,
            words: `${formatTime(d.lowNs)} to ${formatTime(d.highNs)}`})),
          el('td', {class: 'number'}, formatNumber(d.objective)))));
}

function report(request, answer) {
  const all = [...answer.programs];
  if (answer.all) all.push({...answer.all, program: 'all together'});
  const several = request.parameters.map((_, i) => i).filter((i) => new Set(
      answer.points.filter((_, k) => k % request.parameters.length === i))
      .size > 1);
  const names = request.parameters.map((p) => p.name);
  let program = 0, across = several[0] ?? 0, down = several[1] ?? -1;
  const picture = el('div', {});
  const draw = () => {
    const designs = designsOf(request, answer, all[program]);
    picture.replaceChildren(
        el('p', {class: 'faint'},
            `${all[program].allowed} of ${answer.designs} designs allowed` +
            (all[program].outOfDistribution ?
              '; the program is unlike those that the model knows' : '') +
            `. Objective relative to the best; other parameters at their ` +
            `best. Times of designs left out are predicted to ` +
            `${percent(answer.leftOutError)}.`),
        ...(Number(all[program].allowed) > 0 ?
          [heatMap(request, designs, across, down),
           el('h3', {}, 'The best'), bestDesigns(request, designs)] : []));
  };
  // What the one axis takes, the other gives up.
  const axis = (name, text, get, set) => chooser(name, text,
      several.map((i) => names[i]), names[get()], (chosen) => {
        set(names.indexOf(chosen));
        controls();
        draw();
        fields.querySelector(`[name=${name}]`).focus();
      });
  const fields = el('div', {class: 'fields'});
  const controls = () => fields.replaceChildren(
      chooser('program', 'Program', all.map((t) => t.program),
          all[program].program, (name) => {
            program = all.findIndex((t) => t.program === name);
            draw();
          }),
      ...(several.length > 1 ? [
        axis('across', 'Across', () => across, (to) => {
          if (to === down) down = across;
          across = to;
        }),
        axis('down', 'Down', () => down, (to) => {
          if (to === across) across = down;
          down = to;
        })] : []));
  controls();
  draw();
  return el('div', {}, fields, picture);
}

export async function exploreView(main) {
  const programs = (await list('/v1/programs', 'programs'))
      .filter((p) => p.vectors.length > 0).map((p) => p.name);
  let program = programs[0];
  const space = el('textarea', {name: 'space', required: true,
      spellcheck: false, placeholder: EXAMPLE});
  space.value = written;
  space.addEventListener('input', () => { written = space.value; });
  const file = el('input', {type: 'file', name: 'file',
      accept: '.json,application/json'});
  file.addEventListener('change', () => attempt(async () => {
    if (file.files.length === 0) return;
    space.value = written = await file.files[0].text();
  }));
  const result = el('div', {});
  const stop = el('button', {type: 'button', disabled: true}, 'Stop');
  let running = null;
  stop.addEventListener('click', () => running?.abort());
  const explore = async () => {
    say('');
    const request = toRequest(space.value, program);
    running?.abort();
    const own = running = new AbortController();
    stop.disabled = false;
    result.replaceChildren(el('p', {class: 'faint', role: 'status'},
        'Exploring …'));
    try {
      result.replaceChildren(report(request, await api('POST',
          '/v1/architectures:explore', request, own.signal)));
    } catch (error) {
      if (own === running) result.replaceChildren();
      if (!own.signal.aborted) throw error;
    } finally {
      if (own === running) stop.disabled = true;
    }
  };
  const form = el('form', {class: 'panel'},
      el('div', {class: 'fields'},
          chooser('of', 'Program, where the space names none', programs,
              program, (name) => { program = name; }),
          el('label', {}, 'A file with the space', file)),
      el('label', {}, 'The space, or what is in the file', space),
      el('p', {}, el('button', {type: 'submit', class: 'main'}, 'Explore'), ' ',
          stop));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(explore);
  });
  main.append(el('h2', {}, 'Which design is best?'), form, result);
  return () => running?.abort();
}
