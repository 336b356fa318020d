// Renews the page every few seconds while somebody looks at it: only the parts that changed, and none that has the
// focus, so that keyboards and screen readers stay where they are. Without JavaScript it is as it was loaded.
const EVERY = 5000;

function parts(root) {
  return new Map([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}

function hasFocus(element) {
  return element.contains(document.activeElement);
}

function update(fresh) {
  const main = document.querySelector("main");
  const before = parts(main);
  const after = parts(fresh);
  const summary = document.querySelector("#summary");
  const said = fresh.querySelector("#summary").textContent;
  if (summary.textContent !== said) summary.textContent = said;
  if ([...before.keys()].join() !== [...after.keys()].join()) {
    if (!hasFocus(main)) main.replaceWith(fresh.querySelector("main"));
    return;
  }
  for (const [name, part] of after) {
    const old = before.get(name);
    if (!old.isEqualNode(part) && !hasFocus(old)) old.replaceWith(part);
  }
}

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.statusText);
    update(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    document.querySelector("footer").textContent = "The watch process does not respond; this is what it said last.";
  }
}

setInterval(renew, EVERY);
document.addEventListener("visibilitychange", renew);
