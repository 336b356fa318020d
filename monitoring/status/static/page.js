// Renews the page in place every few seconds while somebody looks at it. Without JavaScript it is as it was loaded.
const EVERY = 5000;

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.querySelector("main");
    if (!main.contains(document.activeElement)) main.replaceWith(fresh.querySelector("main"));
  } catch {
    document.querySelector("footer").textContent = "The watch process does not answer; this is what it said last.";
  }
}

setInterval(renew, EVERY);
document.addEventListener("visibilitychange", renew);
