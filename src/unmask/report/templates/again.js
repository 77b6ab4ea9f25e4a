"use strict";
const SECONDS = 2;

async function again() {
  if (!document.hidden) {
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.pathname)).text(), "text/html");
      for (const part of ["header", "main"]) document.querySelector(part).replaceWith(page.querySelector(part));
    } catch {
      document.querySelector(".lead").textContent = "The server does not answer; these are the last figures.";
    }
  }
  setTimeout(again, 1000 * SECONDS);
}
setTimeout(again, 1000 * SECONDS);
