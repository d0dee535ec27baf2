// Draws the network as one picture: maps of its activations, linked, on one ppm axis.
//
// Python sends the maps (nmrclassify/plots/diagram.py). This file draws them, and follows pointer and
// keyboard without the server. It computes no network.

const SVG = 'http://www.w3.org/2000/svg';
const STEPS = 32767; // of a packed value, as in diagram.py
const HEAD = 28, TITLE = 30, SHORT = 15, GAP = 16, BARS = 122, NARROW = 640, LEAST = 68;
const ORDER = ['mixture', 'encoding', 'bottleneck', 'block', 'skip sum', 'mask', 'separated',
  'multiplets', 'classes'];

const diagrams = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.diagram');
  if (!diagrams.has(root)) diagrams.set(root, new Diagram(root));
  const diagram = diagrams.get(root);
  diagram.update(data);
  return () => diagram.leave();
}

function make(tag, parent, attributes = {}, text = '') {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent?.append(element);
  return element;
}

function line(parent, d, name) {
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', d);
  path.setAttribute('class', name);
  parent.append(path);
}

function number(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 0.001 || size >= 1e5) return value.toExponential(1);
  return Number(value.toPrecision(3)).toString();
}

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

class Diagram {
  constructor(root) {
    this.root = root;
    this.stages = new Map(); // key -> what is drawn of it
    this.cell = null; // the cell that the panel of the page unfolds
    this.point = null; // the cell under the pointer or the keyboard: { key, row, position }
    this.at = null; // the step that Play shows; null: all stages are shown
    this.timer = null;
    this.folded = new Set();
    this.chosenFold = false; // whether the visitor has folded or unfolded a box
    this.tools = make('div', root, { class: 'tools' });
    this.play = this.button('Play', () => (this.timer ? this.pause() : this.start()));
    this.one = this.button('Step', () => { this.pause(); this.show(this.at === null ? 0 : this.at + 1); });
    this.all = this.button('Show all', () => { this.pause(); this.show(null); });
    this.size = this.button('', () => this.foldAll());
    this.says = make('span', this.tools, { class: 'says', 'aria-live': 'polite' });
    this.picture = make('div', root, { class: 'picture', role: 'group',
      'aria-label': 'The network, from the mixture to the compounds' });
    this.readout = make('div', root, { class: 'readout', 'aria-live': 'polite' });
    this.width = 0;
    this.observer = new ResizeObserver(() => {
      if (Math.abs(root.clientWidth - this.width) > 1) this.draw();
    });
    this.observer.observe(root);
    root.addEventListener('keydown', (event) => this.key(event));
    this.onUnfolded = (event) => this.unfolded(event.detail);
  }

  button(label, act) {
    const button = make('button', this.tools, { type: 'button' }, label);
    button.addEventListener('click', act);
    return button;
  }

  leave() {
    this.observer.disconnect();
    document.removeEventListener('nmrclassify-unfolded', this.onUnfolded);
    clearTimeout(this.timer);
  }

  update(data) {
    const same = this.data && this.data.stages.length === data.stages.length
      && this.data.stages.every((stage, i) => stage.key === data.stages[i].key
        && stage.height === data.stages[i].height)
      && this.data.theme.dark === data.theme.dark && this.data.theme.large === data.theme.large;
    this.data = data;
    this.values = new Map(data.stages.map((stage) => [stage.key, unpack(stage.values)]));
    for (const [name, value] of Object.entries(data.theme)) {
      if (typeof value === 'string') this.root.style.setProperty(`--${name}`, value);
    }
    this.root.classList.toggle('large', data.theme.large);
    // Time travel and a training move the picture: they have the buttons for that.
    for (const button of [this.play, this.one, this.all]) button.hidden = Boolean(data.follows);
    this.observer.observe(this.root);
    document.addEventListener('nmrclassify-unfolded', this.onUnfolded);
    // Another mixture or training step changes the maps in place, so that a picture that is
    // played, or followed by keyboard, stays as it is.
    if (same && this.width) this.paint();
    else this.draw();
    this.unfolded(window.nmrclassifyCell);
    if (!this.point) this.follow(null);
  }

  // ------------------------------------------------------------------------------------ layout

  get visible() {
    return this.data.stages.filter((stage) => stage.folded || !this.folded.has(stage.box));
  }

  foldAll() {
    this.chosenFold = true;
    const boxes = this.data.boxes.map((box) => box.key);
    this.folded = new Set(this.folded.size ? [] : boxes);
    this.pause();
    this.at = null;
    this.draw();
  }

  fold(box) {
    this.chosenFold = true;
    if (!this.folded.delete(box)) this.folded.add(box);
    this.pause();
    this.at = null;
    this.draw();
    this.picture.querySelector(`[data-box="${box}"] button`)?.focus();
  }

  draw() {
    const focused = this.root.getRootNode().activeElement?.dataset?.key;
    this.width = this.root.clientWidth;
    if (!this.width || !this.data) return;
    const narrow = this.width < NARROW;
    if (!this.chosenFold) {
      this.folded = new Set(narrow ? this.data.boxes.map((box) => box.key) : []);
    }
    this.size.textContent = this.folded.size ? 'Show every layer' : 'Show three boxes';
    this.picture.replaceChildren();
    this.stages.clear();
    this.lines = document.createElementNS(SVG, 'svg');
    this.lines.setAttribute('aria-hidden', 'true');
    this.picture.append(this.lines);
    const places = narrow ? this.placeNarrow() : this.placeWide();
    for (const stage of this.visible) this.addStage(stage, places.get(stage.key), narrow);
    if (!narrow) this.link(places);
    this.overlay = make('canvas', this.picture, { class: 'overlay', 'aria-hidden': 'true' });
    this.measure();
    this.paint();
    this.showStep();
    if (focused) this.stages.get(focused)?.element.focus({ preventScroll: true });
  }

  placeWide() {
    const { data, visible } = this;
    const columns = [...new Set(visible.map((stage) => stage.column))].sort((a, b) => a - b);
    const maps = columns.length - 1, barsWide = this.data.theme.large ? 150 : BARS;
    // Where there is less room, the picture scrolls to the side: narrower maps cut titles off.
    const whole = Math.max(this.width, maps * LEAST + barsWide + GAP * (maps + 0.5));
    const map = Math.min(190, (whole - barsWide - GAP * (maps + 0.5)) / maps);
    const gap = (whole - barsWide - maps * map - GAP / 2) / maps;
    const left = new Map(columns.map((column, i) => [column, GAP / 4 + i * (map + gap)]));
    const outputs = data.outputs.length;
    const height = Math.max(outputs * 92, 366);
    const places = new Map();
    for (const stage of visible) {
      const x = left.get(stage.column), width = stage.kind === 'classes' ? barsWide : map;
      let top = HEAD, room = height, title = TITLE;
      if (stage.kind === 'block') {
        const rows = Math.max(...data.stages.filter((s) => s.kind === 'block')
          .map((s) => s.row)) + 1;
        title = SHORT;
        room = (height - SHORT) / rows;
        top += SHORT + stage.row * room;
        room -= 5;
      } else if (stage.row !== null) {
        room = height / outputs;
        top += stage.row * room;
        room -= 7;
      } else {
        const tall = { mixture: 150, bottleneck: 230, 'skip sum': 230 }[stage.kind];
        if (tall) {
          top += (height - tall) / 2;
          room = tall;
        }
      }
      places.set(stage.key, { x, y: top, width, height: room, title });
    }
    for (const [name, value] of [['width', whole], ['height', HEAD + height + 16]]) {
      this.lines.setAttribute(name, value);
    }
    this.picture.style.height = `${HEAD + height + 18}px`;
    for (const box of data.boxes) {
      const inside = visible.filter((stage) => stage.box === box.key)
        .map((stage) => places.get(stage.key));
      const from = Math.min(...inside.map((place) => place.x)) - gap / 2 + 2;
      const to = Math.max(...inside.map((place) => place.x + place.width)) + gap / 2 - 2;
      this.addBox(box, { left: from, top: 0, width: Math.min(to, whole) - from,
        height: HEAD + height + 16 });
    }
    const stacks = new Map();
    for (const stage of visible.filter((s) => s.kind === 'block')) stacks.set(stage.column, stage);
    [...stacks].forEach(([column, stage], i) => {
      const label = make('div', this.picture, { class: 'stack' },
        `Stack ${i + 1} · ${stage.shape}`);
      Object.assign(label.style, { left: `${left.get(column)}px`, top: `${HEAD - 1}px`,
        width: `${map}px` });
    });
    this.map = { gap, height };
    return places;
  }

  placeNarrow() {
    const places = new Map(), width = this.width - 12;
    let y = 0;
    for (const box of [{ key: '', title: '' }, ...this.data.boxes]) {
      const inside = this.visible.filter((stage) => stage.box === box.key);
      const start = y;
      if (box.key) y += HEAD + 4;
      if (box.key === 'together') {
        inside.sort((a, b) => a.row - b.row || a.column - b.column);
      }
      for (const stage of inside) {
        const rows = { peak: 13, filter: 2.5, channel: 2.2 }[stage.rows];
        const two = stage.kind === 'multiplets' && this.data.truths.length ? 2 : 1;
        const height = stage.kind === 'classes' ? 84 : TITLE + two * stage.height * rows;
        places.set(stage.key, { x: 6, y, width, height, title: TITLE });
        y += height + 14;
      }
      if (box.key) {
        this.addBox(box, { left: 0, top: start, width: this.width, height: y - start - 4 });
        y += 8;
      }
    }
    this.picture.style.height = `${y}px`;
    this.lines.setAttribute('height', 0);
    return places;
  }

  addBox(box, place) {
    const element = make('div', this.picture, { class: 'box', 'data-box': box.key });
    for (const [name, value] of Object.entries(place)) element.style[name] = `${value}px`;
    const folded = this.folded.has(box.key);
    const button = make('button', element, { type: 'button', 'aria-expanded': String(!folded) },
      `${box.title} ${folded ? '▸' : '▾'}`);
    button.title = folded ? 'Show every layer of this box' : 'Show only its result';
    button.addEventListener('click', () => this.fold(box.key));
  }

  addStage(stage, place, narrow) {
    const element = make('div', this.picture, { class: `stage ${stage.kind.replace(' ', '-')}`,
      'data-key': stage.key, tabindex: '0', role: 'application',
      'aria-roledescription': 'map', 'aria-label': stage.text });
    Object.assign(element.style, { left: `${place.x}px`, top: `${place.y}px`,
      width: `${place.width}px`, height: `${place.height}px` });
    const title = make('div', element, { class: 'title', title: stage.text });
    const heading = make('span', title, { class: 'name' });
    if (place.title !== SHORT || narrow) {
      make('span', title, { class: 'layer' },
        [stage.layer, stage.shape].filter(Boolean).join(' '));
    }
    const drawn = { stage, element, place, heading, maps: [] };
    this.stages.set(stage.key, drawn);
    const room = place.height - place.title;
    if (stage.kind === 'classes') this.addBars(drawn, room);
    else {
      const truth = stage.kind === 'multiplets'
        && this.data.truths.find((one) => `multiplets ${one.output}` === stage.key);
      if (truth) {
        const half = (room - 13) / 2;
        this.addMap(drawn, half, stage, true);
        make('div', element, { class: 'true' }, 'true');
        this.addMap(drawn, half, truth, false);
      } else if (stage.row === null) {
        this.addMap(drawn, room - 13, stage, true);
        const ends = make('div', element, { class: 'ends', 'aria-hidden': 'true' });
        const [low, high] = this.data.ends;
        make('span', ends, {}, high);
        make('span', ends, {}, place.width > 60 ? this.data.unit : '');
        make('span', ends, {}, low);
      } else this.addMap(drawn, room, stage, true);
    }
    element.addEventListener('focus', () => {
      if (this.point?.key === stage.key) return;
      const chosen = this.cell?.key === stage.key ? this.cell : this.strongest(stage);
      this.follow(chosen);
    });
    element.addEventListener('blur', () => this.follow(null));
  }

  addMap(drawn, height, of, own) {
    const box = make('div', drawn.element, { class: 'map' });
    box.style.height = `${height}px`;
    const canvas = make('canvas', box, { 'aria-hidden': 'true' });
    canvas.width = this.length;
    canvas.height = of.height;
    drawn.maps.push({ canvas, box, own, height: of.height });
    const cell = (event) => {
      const area = canvas.getBoundingClientRect();
      const at = (value, from, size, n) =>
        Math.min(Math.max(Math.floor(((value - from) / size) * n), 0), n - 1);
      const column = at(event.clientX, area.left, area.width, this.length);
      return { key: drawn.stage.key, position: this.length - 1 - column,
        row: at(event.clientY, area.top, area.height, of.height) };
    };
    box.addEventListener('pointermove', (event) => this.follow(cell(event)));
    box.addEventListener('pointerleave', () => this.follow(null));
    box.addEventListener('click', (event) => this.choose(cell(event)));
  }

  addBars(drawn, room) {
    const box = make('div', drawn.element, { class: 'bars' });
    box.style.height = `${room}px`;
    drawn.bars = this.data.classes.map((one, row) => {
      const bar = make('div', box, { class: 'bar' });
      const fill = make('i', bar);
      fill.style.background = one.colour;
      const mark = make('b', bar);
      const point = { key: drawn.stage.key, row, position: 0 };
      bar.addEventListener('pointermove', () => this.follow(point));
      bar.addEventListener('pointerleave', () => this.follow(null));
      bar.addEventListener('click', () => this.choose(point));
      return { bar, fill, mark };
    });
  }

  link(places) {
    const shown = (kind) => this.visible.filter((stage) => stage.kind === kind);
    const right = (p) => [p.x + p.width, p.y + p.title + (p.height - p.title) / 2];
    const left = (p) => [p.x, p.y + p.title + (p.height - p.title) / 2];
    const join = (from, to) => {
      const [a, b] = right(places.get(from.key)), [c, d] = left(places.get(to.key));
      const middle = (a + c) / 2;
      line(this.lines, `M${a} ${b} C${middle} ${b} ${middle} ${d} ${c} ${d}`, 'link');
    };
    const row = ['mixture', 'encoding', 'bottleneck'].flatMap(shown);
    const blocks = shown('block'), sum = shown('skip sum'), masks = shown('mask');
    row.slice(1).forEach((stage, i) => join(row[i], stage));
    const last = row[row.length - 1];
    if (blocks.length) {
      join(last, blocks[0]);
      blocks.slice(1).forEach((block, i) => {
        if (block.column !== blocks[i].column) join(blocks[i], block);
        else {
          const [x, above] = left(places.get(blocks[i].key));
          line(this.lines, `M${x - 3} ${above} V${left(places.get(block.key))[1]}`, 'link');
        }
      });
      // The skips of every stack run below the stacks into their sum.
      const rail = HEAD + this.map.height + 9;
      const end = places.get(sum[0].key), x = end.x + end.width / 2;
      for (const column of new Set(blocks.map((block) => block.column))) {
        const lowest = blocks.filter((block) => block.column === column).pop();
        const place = places.get(lowest.key), from = place.x + place.width / 2;
        line(this.lines, `M${from} ${place.y + place.height} V${rail} H${x} V${end.y + end.height}`,
          'link');
      }
    }
    for (const mask of masks) {
      join(sum[0] ?? last, mask);
      const m = mask.key.slice('mask '.length);
      const after = ['separated', 'multiplets'].map((kind) => `${kind} ${m}`)
        .filter((key) => places.has(key)).map((key) => ({ key }));
      join(mask, after[0]);
      if (after[1]) join(after[0], after[1]);
      join(after[after.length - 1], { key: `classes ${m}` });
    }
    // The encoding goes around the masks, to be multiplied by each.
    const from = places.get('encoding'), first = places.get(masks[0].key);
    const x = first.x + first.width + this.map.gap / 2, y = HEAD - 5;
    const ends = masks.map((mask) => right(places.get(mask.key))[1]);
    line(this.lines,
      `M${from.x + from.width / 2} ${from.y + 2} V${y} H${x} V${Math.max(...ends)}`, 'link');
    for (const end of ends) {
      const times = make('div', this.picture, { class: 'times', 'aria-hidden': 'true' }, '×');
      Object.assign(times.style, { left: `${x}px`, top: `${end}px` });
    }
  }

  // ----------------------------------------------------------------------------------- drawing

  get length() {
    return this.data.positions.length;
  }

  paint() {
    const scales = Object.fromEntries(Object.entries(this.data.scales).map(([name, colours]) =>
      [name, colours.map((text) => parseInt(text.slice(1), 16))]));
    for (const stage of this.data.stages) {
      const drawn = this.stages.get(stage.key);
      if (!drawn) continue;
      drawn.stage = stage;
      drawn.element.setAttribute('aria-label', stage.text);
      const own = stage.kind === 'classes';
      drawn.heading.textContent = own ? '' : stage.title;
      if (stage.colour && (stage.kind === 'mask' || own)) {
        drawn.element.style.setProperty('--compound', stage.colour);
      }
      if (own) this.paintBars(drawn);
      const truth = this.data.truths.find((one) => `multiplets ${one.output}` === stage.key);
      for (const map of drawn.maps) {
        const values = map.own ? this.values.get(stage.key) : unpack(truth.values);
        this.paintMap(map.canvas, values, scales[stage.scale], stage.scale);
      }
    }
    this.mark();
  }

  paintMap(canvas, values, colours, scale) {
    const context = canvas.getContext('2d'), n = this.length, last = colours.length - 1;
    const image = context.createImageData(n, canvas.height);
    for (let row = 0; row < canvas.height; row += 1) {
      for (let position = 0; position < n; position += 1) {
        let share = values[row * n + position] / STEPS;
        // Colours of areas follow the square root, as on the other pages.
        if (scale === 'areas') share = Math.sqrt(Math.max(share, 0));
        if (scale === 'differences') share = (share + 1) / 2;
        const colour = colours[Math.round(Math.min(Math.max(share, 0), 1) * last)];
        const at = 4 * (row * n + (n - 1 - position));
        image.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, 255], at);
      }
    }
    context.putImageData(image, 0, 0);
  }

  paintBars({ stage, heading, bars }) {
    const values = this.values.get(stage.key), slot = stage.row;
    heading.textContent = this.data.trained ? `${stage.name} ${this.data.confidence[slot]}`
      : stage.name;
    bars.forEach(({ bar, fill, mark }, row) => {
      const share = values[row] / STEPS, one = this.data.classes[row];
      fill.style.height = `${Math.max(100 * share, 1.5)}%`;
      mark.textContent = one.true ? '◆' : '';
      bar.classList.toggle('other', this.data.outputs_are_classes && row !== stage.class);
      bar.title = `${one.name}: ${number(share)}${one.true ? ' (in the mixture)' : ''}`;
    });
  }

  value(key, row, position) {
    const stage = this.data.stages.find((one) => one.key === key);
    const columns = stage.kind === 'classes' ? 1 : this.length;
    return (this.values.get(key)[row * columns + position] / STEPS) * stage.highest;
  }

  strongest(stage) {
    const values = this.values.get(stage.key);
    const columns = stage.kind === 'classes' ? 1 : this.length;
    let best = 0;
    values.forEach((value, i) => { if (Math.abs(value) > Math.abs(values[best])) best = i; });
    return { key: stage.key, row: Math.floor(best / columns), position: best % columns };
  }

  // --------------------------------------------------------------------------------- following

  follow(point) {
    const inside = this.root.getRootNode().activeElement;
    if (!point && inside?.dataset?.key && this.walked) point = this.walked;
    this.point = point;
    this.mark(); // at once: the browser sends one move of the pointer for each frame
  }

  // Draw the followed position on one canvas over all maps: the browser then lays out no element
  // but the sentence below, and paints within the frame of the pointer's event.
  mark() {
    const { overlay, marks } = this, point = this.point ?? this.cell;
    if (!overlay) return;
    const of = point && this.stages.get(point.key)?.stage;
    const on = Boolean(of) && of.kind !== 'classes';
    const context = overlay.getContext('2d'), ratio = this.ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, overlay.width, overlay.height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const { stage, bars, element } of this.stages.values()) {
      bars?.forEach(({ bar }, row) => {
        const chosen = Boolean(of) && stage.key === point.key && row === point.row;
        if (bar.classList.contains('on') !== chosen) bar.classList.toggle('on', chosen);
      });
      if (!on || element.classList.contains('later')) continue;
      for (const map of marks.get(stage.key) ?? []) this.markMap(context, map, stage, point, of);
    }
    overlay.dataset.position = on ? point.position : '';
    this.readout.textContent = of ? this.words(point, of)
      : `Point at a map to follow one position through the network.${this.data.follows ? ''
        : ' Click a cell, or press Enter, to see how its value is computed.'}`;
  }

  markMap(context, { x, y, width, height, rows, own }, stage, point, of) {
    const colour = this.data.theme.highlight, wide = width / this.length;
    const left = this.length - 1 - point.position;
    const half = of.reach - stage.reach;
    if (own && half > 0 && ORDER.indexOf(stage.kind) <= ORDER.indexOf(of.kind)) {
      // What reaches the cell.
      const from = Math.max(left - half, 0), to = Math.min(left + half + 1, this.length);
      context.fillStyle = 'rgba(230, 159, 0, 0.12)';
      context.fillRect(x + from * wide, y, (to - from) * wide, height);
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.setLineDash([4, 3]);
      context.strokeRect(x + from * wide + 0.5, y + 0.5, (to - from) * wide - 1, height - 1);
      context.setLineDash([]);
    }
    context.fillStyle = colour;
    context.fillRect(x + left * wide, y, 1, height);
    context.fillRect(x + (left + 1) * wide - 1, y, 1, height);
    if (!own || stage.key !== point.key) return;
    const high = height / rows, w = Math.max(wide, 5), h = Math.max(high, 5);
    const place = [x + (left + 0.5) * wide - w / 2, y + (point.row + 0.5) * high - h / 2];
    context.lineWidth = 1;
    context.strokeStyle = '#000';
    context.strokeRect(place[0] - 0.5, place[1] - 0.5, w + 1, h + 1);
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.strokeRect(place[0] + 1, place[1] + 1, w - 2, h - 2);
  }

  // The places of all maps in the picture, which the canvas over them needs.
  measure() {
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(this.width, Number(this.lines.getAttribute('width')) || 0);
    const height = parseFloat(this.picture.style.height);
    Object.assign(this.overlay.style, { width: `${width}px`, height: `${height}px` });
    this.overlay.width = Math.round(width * this.ratio);
    this.overlay.height = Math.round(height * this.ratio);
    this.marks = new Map([...this.stages].map(([key, { element, maps }]) => [key,
      maps.map(({ box, own, height: rows }) => ({ own, rows,
        x: element.offsetLeft + box.offsetLeft, y: element.offsetTop + box.offsetTop,
        width: box.offsetWidth, height: box.offsetHeight }))]));
  }

  rowName(stage, row) {
    const id = stage.ids[row];
    if (stage.kind === 'classes') return this.data.classes[id].name;
    if (stage.rows === 'peak') return `peak ${id + 1}`;
    if (stage.rows === 'filter') return `filter ${id} (${this.data.filters[id]})`;
    return `channel ${id}`;
  }

  label(stage) {
    const whose = stage.name ? ` of ${stage.name}` : '';
    if (stage.kind === 'block') return `Block ${stage.key.split(' ')[1]}, ${stage.title}`;
    return (stage.kind === 'mask' ? 'Mask' : stage.title) + whose;
  }

  words({ key, row, position }, stage) {
    const value = number(this.value(key, row, position));
    if (stage.kind === 'classes') return `${stage.name}: ${this.rowName(stage, row)} ${value}`;
    const parts = [this.data.positions[position],
      `${this.label(stage)}, ${this.rowName(stage, row)}: ${value}`];
    // The same row in the other maps of such rows.
    if (stage.rows !== 'channel') {
      for (const other of this.visible) {
        if (other.rows === stage.rows && other.key !== key
          && (stage.row === null || other.row === null || other.row === stage.row)) {
          parts.push(`${this.label(other)} ${number(this.value(other.key, row, position))}`);
        }
      }
    }
    return parts.join(' · ');
  }

  key(event) {
    const key = this.root.getRootNode().activeElement?.dataset?.key;
    const stage = this.stages.get(key)?.stage;
    if (!stage) return;
    const columns = stage.kind === 'classes' ? 1 : this.length;
    const point = { ...(this.point?.key === key ? this.point : this.strongest(stage)) };
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.choose(point);
      return;
    }
    // Bars stand side by side, rows of a map one below the other.
    const across = stage.kind === 'classes' ? { ArrowLeft: [-1, 0], ArrowRight: [1, 0] }
      : { ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const [down, up] = across[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    point.row = Math.min(Math.max(point.row + down, 0), stage.height - 1);
    point.position = Math.min(Math.max(point.position + up, 0), columns - 1);
    this.walked = point;
    this.follow(point);
  }

  // ------------------------------------------------------------------------------------ unfold

  choose(point) {
    if (this.data.follows) return; // a picture that moves unfolds nothing
    const stage = this.stages.get(point.key).stage;
    // The panel of the page (cell_panel.js) shows the arithmetic.
    document.dispatchEvent(new CustomEvent('nmrclassify-unfold', {
      detail: { key: point.key, row: stage.ids[point.row], position: point.position } }));
  }

  // The panel shows a cell, or none: frame it.
  unfolded(cell) {
    const stage = cell && this.data?.stages.find((one) => one.key === cell.key);
    const row = stage ? stage.ids.indexOf(cell.row) : -1;
    this.cell = row < 0 ? null : { key: cell.key, row, position: cell.position };
    if (this.data) this.mark();
  }

  // -------------------------------------------------------------------------------------- play

  get steps() {
    const all = [...this.visible].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
    const step = (stage) => (stage.kind === 'block' ? stage.key : stage.kind);
    return [...new Set(all.map(step))].map((name) => all.filter((stage) => step(stage) === name));
  }

  start() {
    this.show(this.at === null || this.at >= this.steps.length - 1 ? 0 : this.at + 1);
    const next = () => {
      if (this.at >= this.steps.length - 1) { this.pause(); this.show(null); return; }
      this.show(this.at + 1);
      this.timer = setTimeout(next, this.pace);
    };
    this.timer = setTimeout(next, this.pace);
    this.play.textContent = 'Pause';
  }

  get pace() {
    return this.steps.length > 12 ? 750 : 1500; // ms for a stage
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    this.play.textContent = 'Play';
  }

  show(at) {
    this.at = at === null || at >= this.steps.length ? null : at;
    if (this.at === null && this.timer) this.pause();
    this.showStep();
  }

  showStep() {
    const { at, steps } = this;
    steps.forEach((stages, i) => {
      for (const { key } of stages) {
        const { classList } = this.stages.get(key).element;
        classList.toggle('later', at !== null && i > at);
        classList.toggle('now', i === at);
      }
    });
    this.says.textContent = at === null ? '' : `${at + 1} of ${steps.length}. ${steps[at][0].does}`;
    this.root.classList.toggle('playing', at !== null);
    this.mark();
  }
}
