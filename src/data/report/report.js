// The report of one run: what the JSON of this page says, in the order a reader asks.
(() => {
  const {el, number, known} = plots;
  const run = JSON.parse(document.getElementById('run-data').textContent);
  const status = run.status || {};
  const column = (table, name) => table.columns[name] || [];
  const lastEvent = (name) => run.events.filter((e) => e.event === name).pop() || {};
  const list = (v) => (Array.isArray(v) ? v : []);

  // ---- what a person wants to know first

  const final = lastEvent('final'), baselines = lastEvent('baselines');
  const measured = known(final.val_bpb) ? final.val_bpb : column(run.evals, 'val_bpb').filter(known).pop();
  const bits = (v) => v.toFixed(3);

  function duration(s) {
    if (!known(s)) return '';
    const t = Math.round(s);
    return t < 60 ? `${t}s` :
        t < 3600 ? `${Math.floor(t / 60)}m${String(t % 60).padStart(2, '0')}s` :
                   `${Math.floor(t / 3600)}h${String(Math.floor(t / 60) % 60).padStart(2, '0')}m`;
  }

  function beside(other, name) {
    if (!known(other) || !known(measured)) return null;
    const less = 100 * (1 - measured / other), better = less > 0;
    return el(
        'p', {},
        el('span', {style: `color:var(--${better ? 'good' : 'bad'})`, 'aria-hidden': 'true'},
           better ? '\u2713 ' : '\u2717 '),
        `${Math.abs(less).toFixed(1)} % ${better ? 'fewer' : 'more'} bits than ${name} on the same text (${
            bits(other)})`);
  }

  function verdict() {
    const error = known(final.val_error) && final.val_error > 0 ? ` \u00b1 ${bits(final.val_error)}` : '';
    const part = final.val_bytes < final.held_out_bytes ? ` of the ${number(final.held_out_bytes)} held out` : '';
    const bytes = known(final.val_bytes) ? `, measured on ${number(final.val_bytes)} bytes${part}` : '';
    const train = known(status.train_bpb) ?
        `Training text takes ${bits(status.train_bpb)} bits per byte; nothing was held out.` :
        'Nothing was measured yet.';
    return el(
        'div', {},
        status.state && status.state !== 'done' ?
            el('p', {}, el('strong', {}, `The run is ${status.state}`),
               ` at step ${status.step} of ${status.steps}${status.ended ? ` (${status.ended})` : ''}.`) :
                                                                           null,
        el('p', {class: 'verdict'},
           known(measured) ? `Held-out text takes ${bits(measured)}${error} bits per byte${bytes}.` : train),
        beside(baselines.order5_bpb, 'counting what follows the last five bytes (order-5 back-off model)'),
        beside(baselines.zstd_bpb, 'zstd -19'), bars());
  }

  function bars() {
    const rows = [
      ['this model', measured, true], ['order-5 back-off', baselines.order5_bpb, false],
      ['zstd -19', baselines.zstd_bpb, false]
    ].filter((r) => known(r[1]));
    if (rows.length < 2) return null;
    const most = Math.max(...rows.map((r) => r[1]));
    return el(
        'table', {class: 'bars'}, el('caption', {}, 'Bits per byte; less is better'),
        el('tbody', {},
           rows.map(
               ([name, v, own]) =>
                   el('tr', {}, el('th', {scope: 'row'}, name), el('td', {class: 'number'}, bits(v)),
                      el('td', {},
                         el('span', {class: own ? 'bar' : 'bar other', style: `width:${(100 * v) / most}%`}))))));
  }

  function head() {
    const facts = [
      status.model, status.state, known(status.steps) ? `step ${status.step}/${status.steps}` : '',
      duration(status.seconds), known(status.units) ? `${number(status.units)} bytes read` : '',
      known(status.units_per_second) && status.units_per_second > 0 ? `${number(status.units_per_second)} bytes/s` : '',
      status.started ? `started ${status.started.replace('T', ' ')}` : ''
    ].filter(Boolean);
    const warnings = run.events.filter((e) => e.event === 'warning')
                         .map((e) => String(e.text || e.message || ''))
                         .concat(run.notes.map((n) => `This report: ${n}`));
    return [
      el('p', {class: 'soft'}, `octet ${run.octet} \u00b7 report of a run`), el('h1', {}, run.name),
      el('p', {class: 'soft'}, facts.join(' \u00b7 ')), verdict(),
      warnings.length ? el('div', {class: 'warnings'}, warnings.map((w) => el('p', {}, '! ', w))) : null,
      el('p', {class: 'soft'}, 'Next'), run.next.map((c) => el('code', {class: 'command'}, c))
    ];
  }

  // ---- curves

  const axes = {step: 'step', units: 'bytes read', seconds: 'seconds'};
  let axis = 'step';
  const xs = (table) => column(table, axis);

  // Mean over a window of neighbours, for curves that jump from step to step.
  function smooth(values) {
    const half = Math.round(values.length / 60);
    return values.map((_, i) => {
      const near = values.slice(Math.max(0, i - half), i + half + 1).filter(known);
      return near.length ? near.reduce((a, b) => a + b, 0) / near.length : null;
    });
  }

  function lossSeries() {
    const x = xs(run.train), y = column(run.train, 'bpb'), ex = xs(run.evals), out = [];
    if (y.length >= 60) out.push({name: 'training, each step', x, y, faint: true, width: 1, colour: 1});
    if (y.length)
      out.push({name: y.length >= 60 ? 'training, mean' : 'training', x, y: y.length >= 60 ? smooth(y) : y, colour: 1});
    if (ex.length) out.push({name: 'held-out', x: ex, y: column(run.evals, 'val_bpb'), points: true, colour: 2});
    const ends = x.length ? [x[0], x[x.length - 1]] : ex.length ? [ex[0], ex[ex.length - 1]] : [];
    if (known(baselines.order5_bpb) && ends.length)
      out.push({name: 'order-5 back-off', x: ends, y: ends.map(() => baselines.order5_bpb), dash: [6, 4], colour: 3});
    if (known(baselines.zstd_bpb) && ends.length)
      out.push({name: 'zstd -19', x: ends, y: ends.map(() => baselines.zstd_bpb), dash: [2, 3], colour: 4});
    return out;
  }

  // From counters: units and seconds run over the whole training.
  function rate() {
    const u = column(run.train, 'units'), s = column(run.train, 'seconds');
    return u.map((v, i) => {
      const t = s[i] - (i ? s[i - 1] : 0);
      return t > 0 ? (v - (i ? u[i - 1] : 0)) / t : null;
    });
  }

  // Counters and the loss have a place of their own; every other number of metrics.jsonl is a curve.
  function curves() {
    const titles = {lr: ['Learning rate', 'rate'], grad_norm: ['Gradient norm, before clipping', 'norm']};
    titles.mem_mib = ['Memory of the process', 'MiB'];
    titles.patch = ['Patch length on training text', 'bytes'];
    const one = ([title, name], y) =>
        ({title, zero: true, xName: () => axes[axis], series: () => [{name, x: xs(run.train), y}]});
    const out = [{title: 'Bits per byte', xName: () => axes[axis], series: lossSeries}];
    for (const [name, y] of Object.entries(run.train.columns))
      if (!['step', 'units', 'seconds', 'loss', 'bpb'].includes(name)) out.push(one(titles[name] || [name, name], y));
    if (column(run.train, 'units').length) out.splice(3, 0, one(['Speed', 'bytes/s'], rate()));
    const choose =
        el('select', {
          id: 'axis',
          onchange: () => {
            axis = choose.value;
            plots.redrawAll();
          }
        },
           Object.entries(axes).map(([k, v]) => el('option', {value: k}, v)));
    const merged = run.train.rows > column(run.train, 'step').length ?
        `Each point is the mean of ${number(run.train.rows / column(run.train, 'step').length)} steps.` :
        '';
    return [
      el('h2', {}, 'Curves'),
      el('div', {class: 'controls'},
         el('label',
            { for: 'axis'
            },
            'over '),
         choose, el('span', {class: 'soft'}, merged)),
      el('div', {class: 'grid'}, out.map((o) => plots.lines(o)))
    ];
  }

  // ---- patches

  function patches() {
    const steps = run.patches.filter((p) => p.histogram && known(p.step));
    if (!steps.length) return [];
    const first = (name) => parseInt(name, 10) || 0;
    const names =
        [...new Set(steps.flatMap((p) => Object.keys(p.histogram)))].sort((a, b) => first(a) - first(b)).slice(0, 40);
    const share = steps.map((p) => {
      const all = Object.values(p.histogram).reduce((a, b) => a + (known(b) ? b : 0), 0);
      return names.map((n) => (all > 0 && known(p.histogram[n]) ? p.histogram[n] / all : 0));
    });
    const facts = ['mean', 'median', 'p95', 'max'];
    const line = (name) => ({
      name,
      x: steps.map((p) => p.step),
      y: steps.map((p) => p[name]),
      points: steps.length < 60,
      dash: name === 'mean' ? null :
          name === 'p95'    ? [6, 4] :
                              [2, 3]
    });
    return [
      el('h2', {}, 'Patches'),
      el('p', {class: 'soft'}, 'Bytes are read in patches; how long they are, on held-out text.'),
      el('div', {class: 'grid'}, plots.heat({
        title: 'Patch lengths by step: share of patches',
        columns: steps.map((p) => p.step),
        rows: names,
        xName: 'step',
        value: (c, r) => share[c][r],
        readout: (c) => `step ${steps[c].step}: mean ${number(steps[c].mean)} bytes; ` +
            names.map((n, r) => [n, share[c][r]])
                .filter((p) => p[1] >= 0.005)
                .map(([n, v]) => `${n}: ${(100 * v).toFixed(0)} %`)
                .join(', '),
        table: () => [
            ['step', ...facts, ...names.map((n) => `${n} B, %`)],
            steps.map(
                (p, c) => [p.step, ...facts.map((f) => p[f]), ...share[c].map((v) => Number((100 * v).toFixed(2)))])]
      }),
         plots.lines(
             {title: 'Patch length, bytes', xName: () => 'step', series: () => ['mean', 'median', 'p95'].map(line)}))
    ];
  }

  // ---- text

  const tints = {entropy: 'uncertainty of the patcher (nats)', surprise: 'surprise of the model (bits)'};

  function sampleText(s, tint, scale) {
    if (!s.bytes) return el('div', {class: 'text'}, s.prompt ? el('strong', {}, s.prompt) : null, s.text || '');
    const sum = (name, from, to) => list(s[name]).slice(from, to).filter(known).reduce((a, b) => a + b, 0);
    return plots.tinted({
      bytes: s.bytes,
      tint: s[tint],
      scale,
      starts: s.starts,
      about: (from, to) => {
        const parts = [`${JSON.stringify(plots.characters(s.bytes.slice(from, to)).map((c) => c.text).join(''))}, ${
            to - from} byte${to - from > 1 ? 's' : ''}`];
        if (known(list(s.entropy)[from])) parts.push(`uncertainty before it ${number(s.entropy[from])} nats`);
        if (known(list(s.surprise)[from])) parts.push(`surprise ${number(sum('surprise', from, to))} bits`);
        return parts.join('; ');
      }
    });
  }

  function samples() {
    if (!run.samples.length) return [];
    const steps = [...new Set(run.samples.map((s) => s.step))].filter(known).sort((a, b) => a - b);
    const there = Object.keys(tints).filter((t) => run.samples.some((s) => list(s[t]).some(known)));
    const scales = Object.fromEntries(there.map((t) => {
      const all = run.samples.flatMap((s) => list(s[t])).filter(known).sort((a, b) => a - b);
      return [t, Math.max(0.1, all[Math.floor(0.97 * (all.length - 1))] || 0)];
    }));
    const box = el('div'), label = el('output', { for: 'step'
                           });
    const tint =
        el('select', {id: 'tint', onchange: () => show()}, there.map((t) => el('option', {value: t}, tints[t])));
    const slider = el('input', {
      id: 'step',
      type: 'range',
      min: 0,
      max: steps.length - 1,
      value: steps.length - 1,
      step: 1,
      oninput: () => show()
    });
    const show = () => {
      const step = steps[slider.value], by = tint.value;
      label.textContent = `step ${step}`;
      slider.setAttribute('aria-valuetext', `step ${step}`);
      box.replaceChildren(
          ...run.samples.filter((s) => s.step === step)
              .flatMap(
                  (s) =>
                      [el('p', {}, el('strong', {}, s.source ? `Read: ${s.source}` : 'Written by the model'),
                          s.prompt ? ` after ${JSON.stringify(s.prompt)}` : ''),
                       sampleText(s, by, scales[by] || 1)]));
    };
    show();
    return [
      el('h2', {}, 'Text'),
      el('div', {class: 'controls'},
         el('label',
            { for: 'step'
            },
            'at '),
         label, slider),
      there.length ? el('div', {class: 'controls'},
                        el('label',
                           { for: 'tint'
                           },
                           'tinted by '),
                        tint,
                        el('span', {class: 'soft'}, el('span', {class: 'scale', 'aria-hidden': 'true'}),
                           ' little to much; a bar opens a patch')) :
                     null,
      box
    ];
  }

  // ---- measurements, and everything that made the run

  function measurements() {
    const rows = [
      ['held-out bits per byte', measured], ['standard error', final.val_error], ['bytes measured', final.val_bytes],
      ['order-5 back-off, bits per byte', baselines.order5_bpb], ['zstd -19, bits per byte', baselines.zstd_bpb],
      ['best held-out bits per byte on the way', status.best_val_bpb], ['at step', status.best_step],
      ['training bits per byte, last steps', status.train_bpb], ['parameters', status.parameters]
    ].filter((r) => known(r[1]));
    return rows.length ?
        [el('h2', {}, 'Measurements'), el('div', {class: 'table'}, plots.tableOf(['what', 'value'], rows))] :
        [];
  }

  const cellText = (v) => (v === null || v === undefined ? '' : typeof v === 'object' ? JSON.stringify(v) : v);
  function keyed(object) {
    return plots.tableOf(['key', 'value'], Object.entries(object).map(([k, v]) => [k, String(cellText(v))]));
  }
  function fold(title, ...content) { return el('details', {}, el('summary', {}, title), ...content); }

  function origin() {
    const out = [el('h2', {}, 'How it was made')];
    if (run.command) out.push(el('code', {class: 'command'}, run.command.trim()));
    if (run.config) out.push(fold('Config, every key resolved', el('pre', {tabindex: 0}, run.config)));
    if (run.env) out.push(fold('Environment', el('div', {class: 'table'}, keyed(run.env))));
    if (run.data) {
      const {files, n_files, ...rest} = run.data;
      out.push(fold(
          `Data${known(n_files) ? `: ${n_files} file${n_files === 1 ? '' : 's'}` : ''}`,
          el('div', {class: 'table'}, keyed(rest)),
          list(files).length ? el('div', {class: 'table'},
                                  plots.tableOf(
                                      ['file', 'bytes', 'documents', 'xxh3'],
                                      list(files).map((f) => [f.path, f.size, f.documents, f.xxh3]))) :
                               null,
          list(files).length < n_files ?
              el('p', {class: 'soft'}, `${list(files).length} of ${n_files} files are shown; data.json has all.`) :
              null));
    }
    if (run.events.length)
      out.push(fold(
          'Events',
          el('div', {class: 'table'},
             plots.tableOf(
                 ['time', 'step', 'event', 'more'],
                 run.events.map(
                     ({time, step, event, ...more}) =>
                         [cellText(time), known(step) ? step : '', cellText(event),
                          Object.entries(more).map(([k, v]) => `${k} ${cellText(v)}`).join(', ')])))));
    return out;
  }

  // A part that cannot be drawn must not hide the others.
  const parts = [head, curves, patches, samples, measurements, origin].flatMap((part) => {
    try {
      return part();
    } catch (e) {
      return [el('p', {class: 'warnings'}, `! This part cannot be shown: ${e.message}`)];
    }
  });
  document.getElementById('report').replaceChildren(...parts.flat(2).filter(Boolean));
  window.addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((d) => {
    d.open = true;
  }));
})();
