// The panel at the foot of a page: how the value of a cell is computed.
//
// Python sends its sentences and numbers (nmrclassify/plots/arithmetic.py). This file draws them below
// the page, which gets shorter by as much, so that the panel covers nothing. It tells Python of clicks
// on Plotly's maps, and on the network's picture (diagram.js).

const PACE = 450; // ms at each position of Slide

const panels = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.dock'); // beside Streamlit's style element
  if (!panels.has(root)) panels.set(root, new Panel(root));
  const panel = panels.get(root);
  panel.send = setTriggerValue;
  panel.listen();
  panel.update(data);
  return () => panel.leave();
}

function make(tag, parent, attributes = {}, text = '') {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent?.append(element);
  return element;
}

function number(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 0.001 || size >= 1e5) return value.toExponential(1);
  return Number(value.toPrecision(3)).toString();
}

class Panel {
  constructor(root) {
    this.offer = make('button', root, { type: 'button', class: 'offer' }, 'How is a value computed?');
    this.offer.addEventListener('click', () => {
      this.focuses = true;
      this.send('cell', { key: 'usual' });
    });
    this.panel = make('section', root, { class: 'panel', tabindex: '0',
      'aria-label': 'How a value is computed. Arrow keys go to the next cell, Escape closes.' });
    this.panel.addEventListener('keydown', (event) => this.walk(event));
    this.says = make('div', this.panel, { 'aria-live': 'polite' });
    this.title = make('h2', this.says);
    this.close = make('button', this.panel, { type: 'button', class: 'close', 'data-id': 'close',
      'aria-label': 'Close (Escape)', title: 'Close (Escape)' }, '✕');
    this.close.addEventListener('click', () => this.fold());
    this.slide = make('button', this.panel, { type: 'button', class: 'slide', 'data-id': 'slide',
      title: 'The same row at every position, from left to right' }, 'Slide');
    this.slide.addEventListener('click', () => {
      if (this.before) this.rest();
      else this.send('slide', true);
    });
    this.body = make('div', this.panel);
    this.observer = new ResizeObserver(() => this.dock());
    this.listeners = [
      [document, 'pointerdown', (event) => this.pressed(event)],
      [document, 'pointerup', (event) => this.released(event)],
      [document, 'nmrclassify-unfold', (event) => this.send('cell', event.detail)],
      [document, 'keydown', (event) => {
        const over = document.querySelector('[role=dialog], [data-baseweb=popover]');
        if (event.key === 'Escape' && this.data?.open && !over) this.fold();
      }],
      [window, 'resize', () => this.dock()],
    ];
  }

  listen() {
    for (const [on, name, act] of this.listeners) on.addEventListener(name, act, true);
  }

  leave() {
    for (const [on, name, act] of this.listeners) on.removeEventListener(name, act, true);
    this.observer.disconnect();
    clearTimeout(this.later);
    clearTimeout(this.next);
    // A panel of the next page may have taken the place already.
    setTimeout(() => {
      if (this.panel.isConnected || window.nmrclassifyPanel !== this) return;
      window.nmrclassifyPanel = null;
      this.main()?.style.removeProperty('margin-bottom');
    });
  }

  // ------------------------------------------------------------------------------------- clicks

  cellAt(plot, event) {
    const box = plot.getBoundingClientRect(), layout = plot._fullLayout;
    for (const trace of plot._fullData ?? []) {
      if (trace.type !== 'heatmap' || !trace.meta?.rows) continue;
      const axis = (name) => layout[name.replace(/^(.)/, '$1axis')];
      const xaxis = axis(trace.xaxis), yaxis = axis(trace.yaxis);
      const x = event.clientX - box.left - xaxis._offset;
      const y = event.clientY - box.top - yaxis._offset;
      if (x < 0 || y < 0 || x >= xaxis._length || y >= yaxis._length) continue;
      const place = xaxis.p2c(x), height = yaxis.p2c(y);
      // Columns of training steps differ in width.
      const edges = trace.meta.edges;
      const column = edges ? edges.findLastIndex((edge) => edge <= place) : Math.round(place);
      // A category axis counts rows from 0; on other axes the first row has its number.
      const first = yaxis.type === 'category' || !trace.y ? 0 : trace.y[0];
      return { meta: trace.meta, row: Math.round(height - first), column };
    }
    return null;
  }

  pressed(event) {
    const plot = event.target.closest?.('.js-plotly-plot');
    const inside = plot && !event.target.closest('.modebar, .legend');
    this.down = inside ? { plot, x: event.clientX, y: event.clientY } : null;
    const drawn = event.composedPath().find((one) => one.matches?.('.js-plotly-plot, .picture'));
    this.at = drawn ? { figure: drawn, y: event.clientY } : null;
  }

  released(event) {
    const { plot, x, y } = this.down ?? {};
    this.down = null;
    if (!plot || Math.hypot(event.clientX - x, event.clientY - y) > 5) return;
    const cell = this.cellAt(plot, event);
    if (cell) this.send('click', cell);
  }

  // -------------------------------------------------------------------------------------- place

  main() {
    return document.querySelector('.stMain');
  }

  // Stand below the page, beside the sidebar and an open lesson.
  dock() {
    const main = this.main();
    if (!main || !this.panel.isConnected) return;
    window.nmrclassifyPanel = this;
    if (!this.data.open) {
      main.style.removeProperty('margin-bottom');
      return;
    }
    const lesson = document.querySelector('.st-key-lesson');
    const fixed = lesson && getComputedStyle(lesson).position === 'fixed';
    const box = main.getBoundingClientRect();
    const right = fixed ? lesson.getBoundingClientRect().left : box.right;
    Object.assign(this.panel.style, { left: `${box.left}px`, width: `${right - box.left}px` });
    main.style.marginBottom = `${this.panel.offsetHeight}px`;
  }

  // Keep in view what was clicked: the figure if there is room for it, or else the point.
  keepInView() {
    const main = this.main(), { figure, y } = this.at ?? {};
    this.at = null;
    if (!main || !figure?.isConnected) return;
    const top = 52, bottom = innerHeight - this.panel.offsetHeight - 8; // below the tabs
    const box = figure.getBoundingClientRect();
    const whole = box.height <= bottom - top;
    const over = whole ? Math.min(box.bottom - bottom, box.top - top) : y - bottom + 24;
    if (over > 0) main.scrollBy({ top: over, behavior: 'instant' });
  }

  // ------------------------------------------------------------------------------------ content

  update(data) {
    const opens = data.open && !this.data?.open;
    this.rest(false);
    this.data = data;
    this.offer.hidden = !data.offers || data.open;
    this.panel.hidden = !data.open;
    this.observer.observe(this.panel);
    if (this.main()) this.observer.observe(this.main()); // the sidebar can be closed
    this.slide.hidden = !data.open || data.positions < 2;
    this.frame(data.open ? data.cell : null);
    const root = this.panel.getRootNode();
    const focused = this.panel.contains(root.activeElement) && root.activeElement.dataset.id;
    if (data.open) this.fill();
    this.dock();
    if (focused) this.panel.querySelector(`[data-id="${focused}"]`)?.focus();
    if (data.open && this.focuses) this.panel.focus();
    if (data.open) this.focuses = false;
    if (opens) this.panel.scrollTop = 0;
    if (data.slide) this.run(data.slide);
    if (data.open) this.keepInView();
    // The panel is painted first; then the page may draw its figures again.
    if (data.follow && data.follow !== this.followed) {
      this.followed = data.follow;
      clearTimeout(this.later);
      requestAnimationFrame(() => {
        this.later = setTimeout(() => this.send('follow', data.follow), 60);
      });
    }
  }

  // Let the picture of the network frame a cell, or none.
  frame(cell) {
    window.nmrclassifyCell = cell;
    document.dispatchEvent(new CustomEvent('nmrclassify-unfolded', { detail: cell }));
  }

  // Show the arithmetic at one position after the other; then the chosen cell again.
  run(slides) {
    this.before = this.data;
    this.slide.textContent = 'Stop';
    this.says.setAttribute('aria-live', 'off'); // the titles follow too fast to be read out
    const show = (i) => {
      if (i === slides.length) {
        this.rest();
        return;
      }
      this.data = { ...this.before, ...slides[i] };
      this.fill();
      this.frame(this.data.cell);
      this.next = setTimeout(() => show(i + 1), PACE);
    };
    show(0);
  }

  rest(shows = true) {
    clearTimeout(this.next);
    if (!this.before) return;
    this.data = this.before;
    this.before = null;
    this.slide.textContent = 'Slide';
    this.says.setAttribute('aria-live', 'polite');
    if (!shows) return;
    this.fill();
    this.frame(this.data.cell);
  }

  fold() {
    this.send('cell', { key: '' });
    this.update({ open: false, offers: this.data.offers });
  }

  // Arrow keys walk over the cells of the same map.
  walk(event) {
    if (event.target !== this.panel) return;
    const [down, up] = { ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [-1, 0],
      ArrowDown: [1, 0] }[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    this.rest();
    const { cell, rows, positions } = this.data;
    const row = rows[rows.indexOf(cell.row) + down] ?? cell.row;
    const position = Math.min(Math.max(cell.position + up, 0), positions - 1);
    if (row === cell.row && position === cell.position) return;
    this.data.cell = { key: cell.key, row, position }; // so that the next press goes on from there
    this.send('cell', this.data.cell);
  }

  fill() {
    const { title, about, way, arithmetic, effect } = this.data;
    this.title.textContent = title;
    this.body.replaceChildren();
    const steps = make('ol', this.body, { class: 'way', 'aria-label': 'The way through the network' });
    for (const { label, here, ...cell } of way) {
      const step = make('button', make('li', steps), { type: 'button', 'data-id': label }, label);
      if (here) step.setAttribute('aria-current', 'step');
      step.addEventListener('click', () => this.send('cell', cell));
    }
    make('li', steps, { class: 'about' }, about);
    const flow = make('div', this.body, { class: 'flow' });
    if (arithmetic.before) this.arithmetic(flow, arithmetic.before);
    this.arithmetic(flow, arithmetic);
    if (effect) make('p', this.body, { class: 'effect' }, effect);
  }

  arithmetic(parent, cell) {
    const part = make('div', parent, { class: 'part' });
    make('p', part, { class: 'rule' }, cell.rule);
    const row = make('div', part, { class: 'flow' });
    if (cell.window) this.kernel(row, cell.window);
    for (let i = 0; i < cell.terms.length; i += 5) this.terms(row, cell, i, i + 5);
    if (!cell.terms.length) return;
    const chain = make('div', row, { class: 'chain' });
    if (cell.bias) make('div', chain, {}, `bias ${number(cell.bias)}`);
    make('div', chain, {}, `sum ${number(cell.total)}`);
    for (const step of cell.after) make('div', chain, {}, `→ ${step.name} ${number(step.value)}`);
  }

  terms(parent, cell, from, to) {
    const table = make('table', parent);
    make('caption', table, {}, from ? '\u00a0' : 'weight × input = product');
    const most = Math.max(...cell.terms.map((term) => Math.abs(term.product)), 1e-12);
    for (const term of cell.terms.slice(from, to)) {
      const row = make('tr', table);
      make('th', row, { scope: 'row' }, term.name);
      make('td', row, {}, term.name.endsWith('others') ? ''
        : `${number(term.weight)} × ${number(term.value)}`);
      make('td', row, {}, number(term.product));
      const bar = make('i', make('td', row, { class: 'size' }));
      bar.className = term.product < 0 ? 'minus' : 'plus';
      bar.style.width = `${(50 * Math.abs(term.product)) / most}px`;
    }
  }

  kernel(parent, { weights, inputs, rows, columns }) {
    const products = weights.map((row, i) => row.map((weight, j) => weight * inputs[i][j]));
    const parts = [['kernel', weights, '×'], ['mixture', inputs, '='], ['products', products, '']];
    for (const [title, grid, sign] of parts) {
      const table = make('table', parent, { class: 'grid' });
      make('caption', table, {}, title);
      const most = Math.max(...grid.flat().map(Math.abs), 1e-12);
      grid.forEach((values, i) => {
        const row = make('tr', table);
        values.forEach((value, j) => {
          const cell = make('td', row, { title: `${rows[i]}, ${columns[j]}: ${number(value)}` },
            number(Number(value.toFixed(2))));
          const hue = value < 0 ? '213,94,0' : '0,114,178';
          cell.style.background = `rgba(${hue},${0.55 * Math.abs(value) / most})`;
        });
      });
      if (sign) make('div', parent, { class: 'sign' }, sign);
    }
  }
}
