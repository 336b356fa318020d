/** The control of an image: a place to drop a file, its preview, and samples to click. */
import {el} from "./dom.js";

const TINY = 64;

export function imageControl(feature, id, examples, changed) {
  let chosen = null;
  const input = el("input", {id, type: "file", accept: "image/*", class: "quiet"});
  const preview = el("img", {alt: "The chosen image", hidden: true, class: looks(feature)});
  const call = el("span", {}, el("strong", {}, "Drop an image here"), " or choose a file");
  const zone = el("label", {class: "drop", for: id}, preview, call);

  const show = (b64, source) => {
    chosen = b64;
    preview.src = source;
    preview.hidden = false;
  };
  const take = async (file) => {
    if (!file) return;
    const data = await dataUrl(file);
    show(data.slice(data.indexOf(",") + 1), data);
    changed();
  };
  input.addEventListener("change", () => take(input.files[0]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });

  const fill = (value) => value && show(value.b64, `data:image/png;base64,${value.b64}`);
  const samples = examples.filter(Boolean).map((value, index) => sample(feature, value, index, () => {
    fill(value);
    input.value = "";
    changed();
  }));
  return {
    element: el("div", {}, input, zone, el("div", {class: "samples", role: "group", "aria-label": "Samples"}, ...samples)),
    target: input,
    read: () => (chosen === null ? null : {b64: chosen}),
    fill,
  };
}

function sample(feature, value, index, onclick) {
  const picture = el("img", {alt: `Sample ${index + 1}`, src: `data:image/png;base64,${value.b64}`, class: looks(feature)});
  return el("button", {type: "button", onclick}, picture);
}

function looks(feature) {
  return Math.max(...feature.size) <= TINY ? "tiny" : null;
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
