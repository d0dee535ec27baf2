// Saves the pictures of a page as PNG or SVG: Plotly figures, and the picture of the network.
//
// `data` has the key of each picture and what it shows, in words: [[key, words], ...].

const SVG = 'http://www.w3.org/2000/svg';
const SCALE = 2; // pixels of a PNG for one of the screen
const LINE = 20; // height of a line of the words above the network's picture

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.pictures'); // beside Streamlit's style element
  root.replaceChildren();
  for (const [key, words] of data) {
    const row = document.createElement('p');
    row.append(`${key} `);
    for (const format of ['png', 'svg']) {
      const button = document.createElement('button');
      button.textContent = format.toUpperCase();
      button.setAttribute('aria-label', `${key} as ${format.toUpperCase()}`);
      button.onclick = () => save(key.replace(/[^\w-]/g, '-'), words, format);
      row.append(button, ' ');
    }
    root.append(row);
  }
}

function save(name, words, format) {
  const place = document.querySelector(`.st-key-${name}`);
  const plot = place?.querySelector('.js-plotly-plot');
  if (plot) savePlot(plot, name, format);
  else {
    // The picture of the network is in the shadow of its component.
    const hosts = [...(place?.querySelectorAll('*') ?? [])];
    const found = hosts.map((host) => host.shadowRoot?.querySelector('.picture')).find(Boolean);
    if (found) saveNetwork(found, name, words, format);
  }
}

// Presses Plotly's camera button, which the keyboard does not reach.
function savePlot(plot, name, format) {
  const camera = plot.querySelector(
    '.modebar-btn[data-title*="Download"], .modebar-btn[aria-label*="Download"]');
  if (!camera) return;
  plot._context.toImageButtonOptions = { format, filename: `nmrclassify-${name}`, scale: SCALE };
  camera.click();
}

async function saveNetwork(picture, name, words, format) {
  const { text, width, height } = toSvg(picture, words);
  let blob = new Blob([text], { type: 'image/svg+xml' });
  if (format === 'png') {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = SCALE * width;
    canvas.height = SCALE * height;
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `nmrclassify-${name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function node(parent, tag, attributes, text = '') {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

function wrap(words, width, pen, like) {
  pen.font = `${getComputedStyle(like).fontSize} sans-serif`;
  const lines = [];
  for (const word of words.split(' ')) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

// Draws what the browser shows of `picture`: backgrounds, borders, maps, lines and words.
function toSvg(picture, words) {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const width = Math.ceil(picture.scrollWidth), lines = wrap(words, width - 8, pen, picture);
  const head = LINE * lines.length + 8, height = Math.ceil(picture.scrollHeight) + head;
  const area = picture.getBoundingClientRect();
  const left = area.left - picture.scrollLeft, top = area.top - picture.scrollTop - head;
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({ xmlns: SVG, width, height,
    viewBox: `0 0 ${width} ${height}` })) svg.setAttribute(key, value);

  // A colour as numbers: other programs do not read all that CSS allows.
  const paint = (attribute, colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return a ? { [attribute]: `rgb(${r},${g},${b})`, [`${attribute}-opacity`]: (a / 255).toFixed(3) }
      : null;
  };
  const round = (value) => Number(value.toFixed(2));
  const place = (rect) => ({ x: round(rect.left - left), y: round(rect.top - top),
    width: round(rect.width), height: round(rect.height) });
  const label = (text, x, y, style, size = null) => {
    node(svg, 'text', { x: round(x), y: round(y), 'font-family': `${style.fontFamily}, sans-serif`,
      'font-size': style.fontSize, 'font-weight': style.fontWeight, ...paint('fill', style.color),
      ...(size ? { textLength: round(size), lengthAdjust: 'spacingAndGlyphs' } : {}) }, text);
  };
  const rise = (style) => {
    pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    return pen.measureText('x').fontBoundingBoxAscent;
  };

  const page = getComputedStyle(document.querySelector('[data-testid=stApp]'));
  node(svg, 'rect', { width, height, ...paint('fill', page.backgroundColor) });
  lines.forEach((line, i) => label(line, 4, LINE * (i + 1) - 4, getComputedStyle(picture)));

  const sides = [['Top', 0, 0, 1, 0], ['Bottom', 0, 1, 1, 0], ['Left', 0, 0, 0, 1],
    ['Right', 1, 0, 0, 1]];
  const frame = (element, style) => {
    const rect = element.getBoundingClientRect();
    const box = place(rect), radius = parseFloat(style.borderTopLeftRadius) || 0;
    const fill = paint('fill', style.backgroundColor);
    const thick = sides.map(([side]) => (style[`border${side}Style`] === 'none' ? 0
      : parseFloat(style[`border${side}Width`])));
    if (thick.every((size) => size > 0)) {
      const dashes = style.borderTopStyle === 'dashed' ? { 'stroke-dasharray': '4 3' } : {};
      node(svg, 'rect', { ...box, rx: radius, ...(fill ?? { fill: 'none' }),
        ...paint('stroke', style.borderTopColor), 'stroke-width': thick[0], ...dashes });
      return;
    }
    // The thin frame of a map is a shadow, "colour 0px 0px 0px 1px".
    const shadow = style.boxShadow === 'none' ? null
      : paint('stroke', style.boxShadow.split(' 0px')[0]);
    if (fill || shadow) {
      node(svg, 'rect', { ...box, rx: radius, ...(fill ?? { fill: 'none' }), ...shadow });
    }
    sides.forEach(([side, right, low, wide, high], i) => {
      const colour = thick[i] && paint('fill', style[`border${side}Color`]);
      if (!colour) return;
      node(svg, 'rect', { x: round(box.x + right * (box.width - thick[i])),
        y: round(box.y + low * (box.height - thick[i])), width: wide ? box.width : thick[i],
        height: high ? box.height : thick[i], ...colour });
    });
  };

  const draw = (element) => {
    const style = getComputedStyle(element);
    if (style.display === 'none' || style.visibility === 'hidden') return;
    if (element.namespaceURI === SVG) {
      for (const path of element.querySelectorAll('path')) {
        const line = getComputedStyle(path);
        node(svg, 'path', { d: path.getAttribute('d'), transform: `translate(0 ${head})`,
          fill: 'none', ...paint('stroke', line.stroke), 'stroke-width': line.strokeWidth });
      }
      return;
    }
    if (element !== picture) frame(element, style);
    if (element.tagName === 'CANVAS') {
      // Enlarged here, because not every program keeps the cells of a small image sharp.
      const large = document.createElement('canvas'), times = element.width < 200 ? 8 : 1;
      large.width = element.width * times;
      large.height = element.height * times;
      const context = large.getContext('2d');
      context.imageSmoothingEnabled = false;
      context.drawImage(element, 0, 0, large.width, large.height);
      node(svg, 'image', { ...place(element.getBoundingClientRect()),
        preserveAspectRatio: 'none', href: large.toDataURL() });
    }
    for (const child of element.childNodes) {
      if (child.nodeType === Node.ELEMENT_NODE) draw(child);
      else if (child.nodeType === Node.TEXT_NODE && child.textContent.trim()) {
        const range = document.createRange();
        range.selectNodeContents(child);
        const rect = range.getBoundingClientRect();
        label(child.textContent, rect.left - left, rect.top - top + rise(style), style, rect.width);
      }
    }
  };
  draw(picture);
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}
