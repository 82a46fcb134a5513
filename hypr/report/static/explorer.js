// Rasters on a canvas, traces by uPlot. Data: a JSON header, and gzip in base64 that the browser unpacks.
"use strict";
(async () => {
  const root = document.querySelector(".explorer");
  if (!root) return;
  const header = JSON.parse(document.getElementById("explorer-header").textContent);
  const find = (name) => root.querySelector(`[data-part=${name}]`);
  const [layerBox, sequenceBox, stateBox, neuronBox] = ["layer", "sequence", "state", "neuron"].map(find);
  const canvas = find("raster"), said = find("said"), plotBox = find("trace");
  if (typeof DecompressionStream === "undefined") {
    said.textContent = "This browser cannot unpack the traces (it has no DecompressionStream); the pictures below show some of them.";
    return;
  }
  const packed = Uint8Array.from(atob(document.getElementById("explorer-blob").textContent.trim()), (c) => c.charCodeAt(0));
  const buffer = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const bytes = new Uint8Array(buffer);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let plot = null;

  const option = (box, value, text) => box.add(new Option(text, value));
  header.layers.forEach((layer, i) => option(layerBox, i, `${layer.name} (${layer.size} ${layer.model})`));
  header.sequences.forEach((title, i) => option(sequenceBox, i, title));
  const layer = () => header.layers[Number(layerBox.value)];

  function fillStates() {
    stateBox.replaceChildren();
    layer().states.forEach((name) => option(stateBox, name, name));
    neuronBox.max = layer().size - 1;
    neuronBox.value = busiest();
  }

  function spikesOf(row) { // 0 none, 1 float only, 2 integer only, 3 both
    const at = layer(), start = at.spikes + (Number(sequenceBox.value) * at.size + row) * header.steps;
    return bytes.subarray(start, start + header.steps);
  }

  function busiest() {
    if (!layer().spiking) return layer().neurons[0];
    let best = layer().neurons[0], most = -1;
    for (const row of layer().neurons) {
      const count = spikesOf(row).reduce((sum, v) => sum + (v > 1 ? 1 : 0), 0);
      if (count > most) [best, most] = [row, count];
    }
    return best;
  }

  function drawRaster() {
    const at = layer();
    canvas.hidden = !at.spiking;
    if (!at.spiking) return;
    const wide = canvas.clientWidth || 600, tall = Math.min(420, Math.max(120, at.size * 6)), ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${tall}px`;
    canvas.width = wide * ratio;
    canvas.height = tall * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = colour("--wash");
    pen.fillRect(0, 0, wide, tall);
    const row = tall / at.size, step = wide / header.steps, chosen = Number(neuronBox.value);
    pen.fillStyle = colour("--line");
    pen.fillRect(0, tall - (chosen + 1) * row, wide, Math.max(row, 2));
    const colours = { 1: colour("--float"), 2: colour("--integer"), 3: colour("--ink") };
    for (let n = 0; n < at.size; n++) {
      const values = spikesOf(n);
      for (let t = 0; t < header.steps; t++) {
        if (!values[t]) continue;
        pen.fillStyle = colours[values[t]];
        pen.fillRect(t * step, tall - (n + 1) * row + 0.1 * row, Math.max(step * 0.8, 1), Math.max(row * 0.8, 1));
      }
    }
  }

  function drawTrace() {
    const at = layer(), neuron = Number(neuronBox.value), place = at.neurons.indexOf(neuron);
    if (plot) { plot.destroy(); plot = null; }
    if (place < 0) {
      said.textContent = `The states of neuron ${neuron} are not in this page.`;
      return;
    }
    const state = stateBox.value, trace = at.traces[state];
    const first = (Number(sequenceBox.value) * at.neurons.length + place) * header.steps;
    const integers = new Int32Array(buffer, trace.integer + 4 * first, header.steps);
    const unit = at.units[place];
    const floats = trace.float === null ? null : new Float32Array(buffer, trace.float + 4 * first, header.steps);
    const steps = Float64Array.from({ length: header.steps }, (_, t) => t);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    const series = [{ label: "step" }];
    const data = [steps];
    if (floats) {
      series.push({ label: "float", stroke: colour("--float"), width: 1.6, value: (_, v) => (v === null ? "" : v.toPrecision(5)) });
      data.push(Float64Array.from(floats));
    }
    series.push({ label: "integer x unit", stroke: colour("--integer"), width: 1, value: (_, v, __, t) => (t === null || v === null ? "" : `${v.toPrecision(5)} (${integers[t].toLocaleString("en")})`) });
    data.push(Float64Array.from(integers, (v) => v * unit));
    const options = { width: plotBox.clientWidth || 600, height: 240, scales: { x: { time: false } }, axes: [axis, { ...axis, size: 64 }], series, cursor: { drag: { x: true, y: false } } };
    plot = new uPlot(options, data, plotBox);
    const parted = floats === null ? "" : describeParting(at, neuron);
    said.textContent = `${at.name}, neuron ${neuron}, state ${state}; one unit is ${unit.toPrecision(4)}.${parted}`;
  }

  function describeParting(at, neuron) {
    if (!at.spiking) return "";
    const values = spikesOf(neuron), t = values.findIndex((v) => v === 1 || v === 2);
    const count = values.reduce((sum, v) => sum + (v > 1 ? 1 : 0), 0);
    const when = t < 0 ? "the same ones in float" : `the first that only one of the two has at step ${t}`;
    return ` ${count} spikes as integers, ${when}.`;
  }

  function draw() { drawRaster(); drawTrace(); }

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect(), at = layer();
    const row = at.size - 1 - Math.floor(((event.clientY - box.top) / box.height) * at.size);
    neuronBox.value = Math.min(Math.max(row, 0), at.size - 1);
    draw();
  });
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect(), at = layer();
    const row = at.size - 1 - Math.floor(((event.clientY - box.top) / box.height) * at.size);
    const t = Math.floor(((event.clientX - box.left) / box.width) * header.steps);
    canvas.title = `neuron ${Math.max(row, 0)}, step ${t}`;
  });
  layerBox.addEventListener("change", () => { fillStates(); draw(); });
  sequenceBox.addEventListener("change", draw);
  stateBox.addEventListener("change", drawTrace);
  neuronBox.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  fillStates();
  draw();
  root.dataset.ready = "yes";
})();
