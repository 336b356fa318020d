/**
 * An element with its attributes, listeners and children:
 * `el("button", {class: "plain", onclick: send}, "Send")`. What is null, undefined or false is left out.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** `credit_history` as a person writes it: `Credit history`. */
export function title(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The title of each feature by its name; of features with one title, as `Age` and `age`, the names as they are. */
export function titles(schema) {
  const names = schema.features.map((feature) => feature.name);
  const alike = new Map();
  for (const name of names) alike.set(title(name), (alike.get(title(name)) || 0) + 1);
  return new Map(names.map((name) => [name, alike.get(title(name)) > 1 ? name : title(name)]));
}

/** A number with at most `digits` significant digits and no trailing noise. */
export function figure(number, digits = 4) {
  return new Intl.NumberFormat("en", {maximumSignificantDigits: digits, useGrouping: false}).format(number);
}
