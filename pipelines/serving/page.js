"use strict";

const at = (id) => document.getElementById(id);
const SAMPLE = 64; // side of the sample in pixels
let health = null;
let model = null; // what is loaded and chosen
let last = null; // the image on the page, and its name
let running = null;
let shown = [];

const million = (n) => (n / 1e6).toLocaleString("en", { maximumFractionDigits: 1 });
const megabytes = (n) => (n / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 2 });
const percent = (p) => (100 * p).toFixed(1) + " %";

async function begin() {
  health = await (await fetch("health")).json();
  at("models").hidden = health.models.length < 2;
  at("model").replaceChildren(...health.models.map((each) => element("option", each.model)));
  choose(0);
  at("version").textContent = health.version;
  at("limits").textContent =
    "up to " + megabytes(health.limits.body_bytes) + " MB and " + million(health.limits.pixels) + " million pixels";
}

function choose(number) {
  model = health.models[number];
  document.title = model.name + " · clearsight";
  at("name").textContent = model.name;
  const facts = [model.chain.replaceAll("->", "→"), model.variant];
  if (model.classes) facts.push(model.classes + " classes");
  if (model.size) facts.push("images become " + model.size[1] + "×" + model.size[0]);
  facts.push(model.providers[0].replace("ExecutionProvider", ""));
  if (model.unrestored) facts.push("compared with " + model.unrestored);
  at("facts").replaceChildren(...facts.map((text) => element("span", text)));
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function fail(what, hint) {
  at("result").hidden = true;
  at("status").textContent = "";
  at("what").textContent = sentence(what);
  at("hint").textContent = hint ? sentence(hint) : "";
  at("failure").hidden = false;
}

const address = () =>
  (model ? "v1/models/" + encodeURIComponent(model.model) : "v1") + "/predict?restored=true&unrestored=true";

async function send(blob, name) {
  running?.abort();
  last = { blob, name };
  const mine = (running = new AbortController());
  at("failure").hidden = true;
  at("main").setAttribute("aria-busy", "true");
  at("status").textContent = "Computing " + name + " …";
  const began = performance.now();
  try {
    if (health && blob.size > health.limits.body_bytes) {
      fail("the file has " + megabytes(blob.size) + " MB, more than the server takes", "choose a smaller one");
      return;
    }
    const way = { method: "POST", body: blob, signal: mine.signal, headers: { "Content-Type": "application/octet-stream" } };
    const answer = await fetch(address(), way);
    // What stands between here and the server may answer in its own way.
    const found = await answer.json().catch(() => null);
    if (mine !== running) return;
    if (!answer.ok || !found) {
      fail(found?.error?.what ?? "the answer was " + answer.status, found?.error?.hint);
      return;
    }
    await show(blob, found);
    const best = found.predictions[0];
    const said = best ? ": " + best.label + ", " + percent(best.probability) : "";
    at("status").textContent = sentence(name + said).replace(/\.$/, "") + " (" + Math.round(performance.now() - began) + " ms)";
  } catch (error) {
    if (error.name !== "AbortError") fail("the server does not answer", "is it still running?");
  } finally {
    if (mine === running) at("main").removeAttribute("aria-busy");
  }
}

async function show(blob, found) {
  shown.forEach((url) => URL.revokeObjectURL(url));
  shown = [URL.createObjectURL(blob)];
  at("unshown").hidden = await image(at("before"), shown[0]);
  at("before").hidden = !at("unshown").hidden;
  at("before-size").textContent = found.width + "×" + found.height;
  at("after-figure").hidden = !found.restored;
  at("pair").classList.toggle("single", !found.restored);
  if (found.restored) {
    const bytes = Uint8Array.from(atob(found.restored), (letter) => letter.charCodeAt(0));
    shown.push(URL.createObjectURL(new Blob([bytes], { type: "image/png" })));
    await image(at("after"), shown[1]);
    at("after-size").textContent = at("after").naturalWidth + "×" + at("after").naturalHeight;
    at("save").href = shown[1];
  }
  at("said").hidden = !found.predictions.length;
  at("said-title").textContent = found.unrestored ? "Predictions with restoration" : "Predictions";
  at("predictions").replaceChildren(...found.predictions.map(bar));
  at("alone").hidden = !found.unrestored;
  at("unrestored").replaceChildren(...(found.unrestored ?? []).map(bar));
  at("verdict").textContent = found.unrestored ? verdict(found.unrestored[0], found.predictions[0]) : "";
  at("notes").replaceChildren(...found.notes.map((note) => element("li", sentence(note))));
  at("result").hidden = false;
}

function verdict(before, after) {
  if (before.label !== after.label) return "Restoration changes the answer from " + before.label + " to " + after.label + ".";
  const points = 100 * (after.probability - before.probability);
  const sure = Math.abs(points) < 0.05 ? "just as sure" : Math.abs(points).toFixed(1) + " points " + (points > 0 ? "surer" : "less sure");
  return "The answer is the same with and without restoration; with it the model is " + sure + ".";
}

async function image(image, url) {
  image.src = url;
  try {
    await image.decode();
  } catch {
    return false;
  }
  image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) < 256);
  return true;
}

function bar(prediction) {
  const row = element("li");
  const track = element("span", undefined, "track");
  const fill = element("div", undefined, "fill");
  track.setAttribute("aria-hidden", "true");
  fill.style.width = 100 * prediction.probability + "%";
  track.append(fill);
  row.append(element("span", prediction.label, "label"), track, element("span", percent(prediction.probability), "value"));
  return row;
}

// A sign under a noisy sky: drawn here, so that nothing has to be fetched.
async function sample() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SAMPLE;
  const pen = canvas.getContext("2d");
  const sky = pen.createLinearGradient(0, 0, 0, SAMPLE);
  [[0, "#7fa6c9"], [0.7, "#c9d3d6"], [0.7, "#6d7f4f"], [1, "#55653b"]].forEach((stop) => sky.addColorStop(...stop));
  pen.fillStyle = sky;
  pen.fillRect(0, 0, SAMPLE, SAMPLE);
  pen.fillStyle = "#8d9094";
  pen.fillRect(SAMPLE * 0.47, SAMPLE * 0.7, SAMPLE * 0.06, SAMPLE * 0.3);
  [["#f2f0ec", 0.4], ["#b8171f", 0.375]].forEach(([colour, radius]) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(SAMPLE / 2, SAMPLE * 0.46, SAMPLE * radius, 0, 2 * Math.PI);
    pen.fill();
  });
  pen.fillStyle = "#f2f0ec";
  pen.fillRect(SAMPLE * 0.23, SAMPLE * 0.4, SAMPLE * 0.54, SAMPLE * 0.12);
  const pixels = pen.getImageData(0, 0, SAMPLE, SAMPLE);
  let state = 1;
  const uniform = () => (state = (state * 48271) % 2147483647) / 2147483647;
  pixels.data.forEach((value, i) => {
    const noise = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    if (i % 4 !== 3) pixels.data[i] = value + 25 * noise;
  });
  pen.putImageData(pixels, 0, 0);
  canvas.toBlob((blob) => send(blob, "the sample"), "image/png");
}

function chosen(files) {
  if (files.length) send(files[0], files[0].name || "the image");
}

at("file").addEventListener("change", (event) => {
  chosen(event.target.files);
  event.target.value = ""; // the same file can be chosen again
});
at("model").addEventListener("change", (event) => {
  choose(event.target.selectedIndex);
  if (last) send(last.blob, last.name);
});
at("try").addEventListener("click", sample);
document.addEventListener("paste", (event) => chosen(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  chosen(event.dataTransfer.files);
});
begin()
  .catch(() => fail("the server does not answer", "is it still running?"))
  .then(() => location.hash === "#sample" && sample());
