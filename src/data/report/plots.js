// Drawing for reports and pages: line charts (uPlot where it is there, else SVG), heat maps, tinted text, tables.
// Text of a run only ever becomes text nodes.
'use strict';
const plots = (() => {
  const SVG = (() => {
    const holder = document.createElement('template');
    holder.innerHTML = '<svg></svg>';
    return holder.content.firstChild.namespaceURI;
  })();

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith('on'))
        node.addEventListener(key.slice(2), value);
      else
        node.setAttribute(key, value === true ? '' : value);
    }
    for (const child of children.flat())
      if (child !== null && child !== undefined) node.append(child);
    return node;
  }
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  // ---- numbers

  const known = (v) => typeof v === 'number' && Number.isFinite(v);
  // 0.00213, 2.31, 18.2k, 3.35M
  function number(v) {
    if (!known(v)) return '-';
    const a = Math.abs(v);
    if (a >= 1e9) return (v / 1e9).toPrecision(3) + 'G';
    if (a >= 1e6) return (v / 1e6).toPrecision(3) + 'M';
    if (a >= 1e4) return (v / 1e3).toPrecision(3) + 'k';
    if (Number.isInteger(v)) return String(v);
    return a !== 0 && a < 1e-4 ? v.toExponential(2) : String(Number(v.toPrecision(4)));
  }

  // At most about n round numbers from low to high.
  function ticks(low, high, n) {
    const span = high - low;
    if (!(span > 0)) return [low];
    const rough = span / Math.max(1, n), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough);
    const out = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k++)
      out.push(Number((k * step).toPrecision(12)));
    return out;
  }

  // ---- series: {name, x, y, dash, points, colour: 1..4}

  // All x of all series once, ascending, and each series' y there or null.
  function join(series) {
    const all = [...new Set(series.flatMap((s) => s.x))].filter(known).sort((a, b) => a - b);
    const place = new Map(all.map((x, i) => [x, i]));
    const ys = series.map((s) => {
      const y = new Array(all.length).fill(null);
      s.x.forEach((x, i) => {
        if (known(x) && known(s.y[i])) y[place.get(x)] = s.y[i];
      });
      return y;
    });
    return {x: all, ys};
  }

  // Limits of y; `focus` looks away from the first twentieth of x, where a loss falls from its beginning.
  function limits(data, focus, zero) {
    const from = data.x[0] + (focus ? 0.05 : 0) * (data.x[data.x.length - 1] - data.x[0]);
    let values = [];
    for (const y of data.ys)
      y.forEach((v, i) => {
        if (known(v) && data.x[i] >= from) values.push(v);
      });
    if (!values.length) values = data.ys.flat().filter(known);
    if (zero) values.push(0);
    let low = values.reduce((a, b) => Math.min(a, b), Infinity),
        high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(low <= high)) return [0, 1];
    const room = high > low ? 0.06 * (high - low) : Math.max(1e-12, Math.abs(high) * 0.1);
    low = low >= 0 && low - room < 0 ? 0 : low - room;
    return [low, high + room];
  }

  const colour = (i) => getComputedStyle(document.documentElement).getPropertyValue('--s' + i).trim() || '#888';
  const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = (s, k) => s.colour || (k % 4) + 1;

  function legend(series) {
    return el(
        'div', {class: 'legend'},
        series.map(
            (s, k) =>
                el('span', {},
                   svg('svg', {width: 26, height: 10, 'aria-hidden': 'true'}, svg('line', {
                         x1: 0,
                         x2: 26,
                         y1: 5,
                         y2: 5,
                         'stroke-width': 2.5,
                         'stroke-opacity': s.faint ? 0.35 : 1,
                         stroke: `var(--s${ink(s, k)})`,
                         'stroke-dasharray': (s.dash || []).join(' ') || null
                       }),
                       s.points ? svg('circle', {cx: 13, cy: 5, r: 3.5, fill: `var(--s${ink(s, k)})`}) : null),
                   s.name)));
  }

  // ---- line chart in SVG

  function drawSvg(series, data, range, size, xName) {
    const left = 52, right = 14, top = 8, bottom = 36, w = size.width - left - right, h = size.height - top - bottom;
    const x0 = data.x[0], x1 = data.x[data.x.length - 1], [y0, y1] = range;
    const px = (x) => (x1 > x0 ? ((x - x0) / (x1 - x0)) * w : w / 2), py = (y) => h - ((y - y0) / (y1 - y0)) * h;
    const inner = svg('svg', {x: left, y: top, width: w, height: h, overflow: 'hidden'});
    const outer = svg('svg', {viewBox: `0 0 ${size.width} ${size.height}`, height: size.height, 'aria-hidden': 'true'});
    for (const y of ticks(y0, y1, h / 42)) {
      inner.append(svg('line', {class: 'grid-line', x1: 0, x2: w, y1: py(y), y2: py(y)}));
      outer.append(svg('text', {x: left - 6, y: top + py(y) + 4, 'text-anchor': 'end'}, number(y)));
    }
    for (const x of ticks(x0, x1, w / 80))
      outer.append(svg('text', {x: left + px(x), y: top + h + 16, 'text-anchor': 'middle'}, number(x)));
    outer.append(svg('text', {x: left + w, y: size.height - 4, 'text-anchor': 'end'}, xName));
    series.forEach((s, k) => {
      const at = [];
      data.ys[k].forEach((v, i) => {
        if (known(v)) at.push([px(data.x[i]), py(v)]);
      });
      const stroke = `var(--s${ink(s, k)})`;
      inner.append(svg('polyline', {
        points: at.map((p) => p.map((v) => v.toFixed(1)).join(',')).join(' '),
        fill: 'none',
        stroke,
        'stroke-width': s.width || 2,
        'stroke-opacity': s.faint ? 0.35 : 1,
        'stroke-dasharray': (s.dash || []).join(' ') || null
      }));
      if (s.points || at.length === 1)
        for (const p of at) inner.append(svg('circle', {cx: p[0], cy: p[1], r: 3.5, fill: stroke}));
    });
    const line = svg('line', {class: 'cursor', x1: 0, x2: 0, y1: 0, y2: h, visibility: 'hidden'});
    inner.append(line);
    outer.append(inner);
    return {
      node: outer,
      cursor(i) {
        line.setAttribute('visibility', 'visible');
        for (const a of ['x1', 'x2']) line.setAttribute(a, px(data.x[i]));
      },
      index(event) {
        const box = outer.getBoundingClientRect();
        return nearest(data.x, x0 + (x1 - x0) * (((event.clientX - box.left) * size.width / box.width - left) / w));
      }
    };
  }

  function nearest(xs, x) {
    let best = 0;
    xs.forEach((v, i) => {
      if (Math.abs(v - x) < Math.abs(xs[best] - x)) best = i;
    });
    return best;
  }

  // ---- line chart by uPlot: the same looks; dragging zooms, a double click shows all again

  function drawUplot(series, data, range, size, xName) {
    const axis = {
      stroke: themed('--soft'),
      grid: {stroke: themed('--line'), width: 1},
      ticks: {show: false},
      font: '12px system-ui, sans-serif',
      values: (u, list) => list.map((v) => (v === null ? '' : number(v)))
    };
    const holder = el('div', {'aria-hidden': 'true'});
    const u =
        new window.uPlot(
            {
              width: size.width,
              height: size.height,
              legend: {show: false},
              cursor: {y: false, points: {size: 6}},
              scales: {x: {time: false}, y: {range: () => range}},
              axes: [{...axis, label: xName, labelSize: 16, labelFont: axis.font, size: 26}, {...axis, size: 52}],
              series: [
                {}, ...series.map((s, k) => ({
                                    label: s.name,
                                    stroke: colour(ink(s, k)),
                                    alpha: s.faint ? 0.35 : 1,
                                    width: s.width || 2,
                                    spanGaps: true,
                                    dash: s.dash,
                                    points: {show: !!s.points, size: 7, fill: colour(ink(s, k))}
                                  }))
              ],
            },
            [data.x, ...data.ys], holder);
    return {
      node: holder,
      cursor(i) { u.setCursor({left: u.valToPos(data.x[i], 'x'), top: 10}, false); },
      index(event) {
        const box = u.over.getBoundingClientRect();
        return nearest(data.x, u.posToVal(event.clientX - box.left, 'x'));
      }
    };
  }

  // ---- figures: caption, plot with a cursor for mouse and arrow keys, readout, table

  const figures = new Set();
  function redrawAll() {
    for (const f of figures) f();
  }
  for (const query of ['(prefers-color-scheme: dark)', 'print'])
    window.matchMedia(query).addEventListener('change', redrawAll);

  // options: title, label(), draw(width) -> {node, cursor(i), index(event)}, count(), readout(i), table() -> [head,
  // rows]
  function figure(options) {
    const plot = el('div', {
      class: 'plot',
      tabindex: 0,
      role: 'group',
      'aria-label': `${options.title}. Left and right arrows read values.`
    });
    const readout = el('output', {class: 'readout', 'aria-live': 'polite'});
    const table =
        el('div', {class: 'table', hidden: true, tabindex: 0, role: 'region', 'aria-label': `${options.title}: table`});
    let drawing = null, here = -1, width = 0;
    const point = (i) => {
      if (!drawing || options.count() === 0) return;
      here = Math.max(0, Math.min(options.count() - 1, i));
      drawing.cursor(here);
      readout.textContent = options.readout(here);
    };
    const draw = () => {
      width = Math.max(200, Math.floor(plot.clientWidth || 320));
      drawing = options.count() > 0 ? options.draw(width) :
                                      {node: el('p', {class: 'soft'}, 'nothing yet'), cursor() {}, index: () => 0};
      plot.replaceChildren(drawing.node);
      readout.textContent = options.count() > 0 ? options.readout(options.count() - 1) : '';
      if (!table.hidden) table.replaceChildren(tableOf(...options.table()));
    };
    plot.addEventListener('pointermove', (event) => point(drawing.index(event)));
    plot.addEventListener('keydown', (event) => {
      const last = options.count() - 1, now = here < 0 ? last : here, page = Math.max(1, Math.round(last / 20));
      const to = {
        ArrowLeft: now - 1,
        ArrowRight: now + 1,
        PageUp: now - page,
        PageDown: now + page,
        Home: 0,
        End: last
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      point(to);
    });
    const toggle =
        el('button', {
          type: 'button',
          'aria-pressed': 'false',
          'aria-label': `${options.title}: show as table`,
          onclick: () => {
            table.hidden = !table.hidden;
            toggle.setAttribute('aria-pressed', String(!table.hidden));
            if (!table.hidden) table.replaceChildren(tableOf(...options.table()));
          }
        },
           'table');
    const node =
        el('figure', {}, el('figcaption', {}, el('strong', {}, options.title), options.buttons || [], toggle),
           options.legend, plot, readout, table);
    figures.add(draw);
    new ResizeObserver(() => {
      window.requestAnimationFrame(() => {
        if (Math.abs(plot.clientWidth - width) > 1) draw();
      });
    }).observe(plot);
    return {node, draw};
  }

  // title, series() -> [series], xName(), zero: y begins at 0
  function lines(options) {
    let series = [], data = {x: [], ys: []}, focus = true;
    const legendBox = el('div');
    const whole =
        el('button', {
          type: 'button',
          'aria-pressed': 'false',
          'aria-label': `${options.title}: whole range`,
          hidden: true,
          onclick: () => {
            focus = !focus;
            whole.setAttribute('aria-pressed', String(!focus));
            shown.draw();
          }
        },
           'whole range');
    const shown = figure({
      title: options.title,
      legend: legendBox,
      buttons: [whole],
      count: () => data.x.length,
      draw(width) {
        series = options.series();
        data = join(series);
        const near = limits(data, true, options.zero), all = limits(data, false, options.zero);
        whole.hidden = all[1] - all[0] < 1.3 * (near[1] - near[0]);
        legendBox.replaceChildren(legend(series));
        const size = {width, height: Math.round(Math.max(180, Math.min(260, width * 0.55)))};
        return (window.uPlot ? drawUplot : drawSvg)(series, data, focus ? near : all, size, options.xName());
      },
      readout: (i) => `${options.xName()} ${number(data.x[i])}: ` +
          series.map((s, k) => [s, data.ys[k][i]])
              .filter((p) => known(p[1]))
              .map(([s, v]) => `${s.name} ${number(v)}`)
              .join(', '),
      table: () => [
          [options.xName(), ...series.map((s) => s.name)], data.x.map((x, i) => [x, ...data.ys.map((y) => y[i])])],
    });
    series = options.series();
    data = join(series);
    return shown.node;
  }

  // A value for each column and row name; shares darken. columns: [x], rows: [name], value(c, r) in 0..1, readout(c)
  function heat(options) {
    const {columns, rows} = options;
    const highest = Math.max(1e-9, ...columns.flatMap((_, c) => rows.map((_, r) => options.value(c, r))));
    return figure({
             title: options.title,
             count: () => columns.length,
             draw(width) {
               const left = 52, right = 14, bottom = 36, cell = 18, w = width - left - right, h = cell * rows.length,
                     each = w / columns.length;
               const out =
                   svg('svg', {viewBox: `0 0 ${width} ${h + bottom}`, height: h + bottom, 'aria-hidden': 'true'});
               rows.forEach((name, r) => {
                 const y = cell * (rows.length - 1 - r);
                 out.append(svg('text', {x: left - 6, y: y + 13, 'text-anchor': 'end'}, name));
                 columns.forEach((_, c) => out.append(svg('rect', {
                   x: left + each * c,
                   y,
                   width: Math.max(0.5, each - (each > 6 ? 1 : 0)),
                   height: cell - 1,
                   fill: `rgba(var(--heat), ${(options.value(c, r) / highest) ** 0.6})`
                 })));
               });
               for (const i of [...new Set(ticks(0, columns.length - 1, w / 90).map(Math.round))])
                 out.append(
                     svg('text', {x: left + each * (i + 0.5), y: h + 16, 'text-anchor': 'middle'}, number(columns[i])));
               out.append(svg('text', {x: left + w, y: h + 32, 'text-anchor': 'end'}, options.xName));
               const frame =
                   svg('rect', {class: 'cursor', y: 0, width: each, height: h, fill: 'none', visibility: 'hidden'});
               out.append(frame);
               return {
                 node: out,
                 cursor(i) {
                   frame.setAttribute('visibility', 'visible');
                   frame.setAttribute('x', left + each * i);
                 },
                 index(event) {
                   const box = out.getBoundingClientRect();
                   return Math.floor(((event.clientX - box.left) * width / box.width - left) / each);
                 }
               };
             },
             readout: options.readout,
             table: options.table,
           })
        .node;
  }

  // ---- tables

  function tableOf(head, rows) {
    const cell = (tag, v) =>
        el(tag, {class: typeof v === 'number' || v === null ? 'number' : null, scope: tag === 'th' ? 'col' : null},
           v === null || v === undefined ? '' :
               typeof v === 'number'     ? String(Number(v.toPrecision(6))) :
                                           String(v));
    return el(
        'table', {}, el('thead', {}, el('tr', {}, head.map((v, i) => {
                          const th = cell('th', v);
                          if (rows.length && typeof rows[0][i] === 'number') th.className = 'number';
                          return th;
                        }))),
        el('tbody', {}, rows.map((row) => el('tr', {}, row.map((v) => cell('td', v))))));
  }

  // ---- text, tinted byte by byte, with the edges of patches

  // bytes: a string with one character per byte -> [{text, from, to, raw}], whole characters or single invalid bytes.
  function characters(bytes) {
    const decoder = new TextDecoder('utf-8', {fatal: true}), out = [];
    for (let i = 0; i < bytes.length;) {
      const lead = bytes.charCodeAt(i), size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      let text = null;
      try {
        text = decoder.decode(Uint8Array.from(bytes.slice(i, i + size), (c) => c.charCodeAt(0)));
      } catch (e) { /* not UTF-8: shown as \xNN */
      }
      const to = text === null ? i + 1 : Math.min(bytes.length, i + size);
      out.push({
        text: text === null ? '\\x' + lead.toString(16).toUpperCase().padStart(2, '0') : text,
        from: i,
        to,
        raw: text === null
      });
      i = to;
    }
    return out;
  }

  const shown = (text) => text.replace(/\n/g, '\u21b5\n');

  // options: bytes, tint [per byte or null], scale (the tint that is full), starts [bytes that open a patch],
  // about(from, to) -> line about these bytes. Arrow keys walk over patches.
  function tinted(options) {
    const starts =
        [...new Set([0, ...(options.starts || [])])].filter((s) => s < options.bytes.length).sort((a, b) => a - b);
    const readout = el('output', {class: 'readout', 'aria-live': 'polite'});
    const patches = starts.map((from, k) => ({
                                 from,
                                 to: k + 1 < starts.length ? starts[k + 1] : options.bytes.length,
                                 node: el('span', {class: options.starts ? 'patch' : null})
                               }));
    let at = 0, here = -1;
    for (const c of characters(options.bytes)) {
      while (at + 1 < patches.length && c.from >= patches[at + 1].from) at++;
      const values = (options.tint || []).slice(c.from, c.to).filter(known);
      const t = values.length ?
          Math.min(1, Math.max(0, values.reduce((a, b) => a + b, 0) / values.length / options.scale)) :
          0;
      const unit = el('span', {class: 'unit' + (c.raw ? ' raw' : ''), style: `--t:${t.toFixed(3)}`}, shown(c.text));
      unit.addEventListener('pointerenter', () => {
        readout.textContent = options.about(c.from, c.to);
      });
      patches[at].node.append(unit);
    }
    const box = el(
        'div', {class: 'text', tabindex: 0, role: 'group', 'aria-label': 'Text. Left and right arrows read patches.'},
        patches.map((p) => p.node));
    box.addEventListener('keydown', (event) => {
      const to = {ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: patches.length - 1}[event.key];
      if (to === undefined) return;
      event.preventDefault();
      if (here >= 0) patches[here].node.classList.remove('here');
      here = Math.max(0, Math.min(patches.length - 1, to));
      patches[here].node.classList.add('here');
      readout.textContent = options.about(patches[here].from, patches[here].to);
    });
    return el('div', {}, box, readout);
  }

  return {el, svg, number, known, lines, heat, tableOf, characters, tinted, redrawAll};
})();
