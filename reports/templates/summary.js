// What the report can do beyond being read. Without it every word and number is there all the same.
(() => {
  "use strict";
  const main = document.getElementById("content");
  const words = main.dataset;

  // The contents say which section is in view.
  const links = new Map(
    [...document.querySelectorAll("nav a[href^='#']")].map((a) => [a.getAttribute("href").slice(1), a]),
  );
  const nav = document.querySelector("nav");
  const headings = [...links.keys()].map((id) => document.getElementById(id));
  // A heading that a link led to stops at its own margin, which may be further down than the contents reach.
  const stop = (heading) => parseFloat(getComputedStyle(heading).scrollMarginTop) + 1;
  // Where the page rests after a link of the contents: a section that cannot reach the top is the one in view as well.
  let chosen = null;
  let rest = 0;
  let waiting = false;
  const mark = () => {
    waiting = false;
    const edge = nav.getBoundingClientRect().bottom + 40;
    // Near the end of the page sections can no longer reach the top: there the line of reading goes down to the foot.
    const last = document.documentElement.scrollHeight - innerHeight;
    const way = Math.min(innerHeight, last);
    const down = way < 2 ? 0 : Math.max(0, 1 - (last - scrollY) / way);
    const line = (heading) => Math.max(edge + (innerHeight - edge) * down, stop(heading));
    if (chosen && Math.abs(scrollY - rest) > 2) chosen = null;
    const passed = headings.filter((h) => h.getBoundingClientRect().top <= line(h));
    const current = chosen || passed.at(-1);
    for (const [id, link] of links) {
      if (!current || id !== current.id) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        nav.scrollTo({ left: link.offsetLeft - nav.clientWidth / 2 });
      }
    }
  };
  const soon = () => {
    if (!waiting) requestAnimationFrame(mark);
    waiting = true;
  };
  const choose = () => {
    const heading = document.getElementById(location.hash.slice(1));
    chosen = links.has(location.hash.slice(1)) ? heading : null;
    rest = scrollY;
    soon();
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  addEventListener("hashchange", choose);
  // The same link again changes no address.
  nav.addEventListener("click", () => setTimeout(choose));
  if (location.hash) addEventListener("load", choose);
  mark();

  // A definition that a link leads to is opened.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    const held = target && target.closest("details");
    if (held && !held.open) {
      held.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  // A cell as text: its number, then its limits in brackets; what is hidden stays said to be hidden.
  const textOf = (cell) => {
    const copy = cell.cloneNode(true);
    for (const br of copy.querySelectorAll("br")) br.replaceWith(" ");
    const aside = [...copy.querySelectorAll(".ci")].map((s) => (s.remove(), s.textContent.trim()));
    const first = copy.textContent.replace(/\s+/g, " ").trim();
    return first && aside.length ? `${first} (${aside.join("; ")})` : first || aside.join("; ");
  };
  const quoted = (text) => {
    const safe = /^(?:[=@\t\r]|[+-][^0-9.,])/.test(text) ? "'" + text : text;
    return /["\r\n]/.test(safe) || safe.includes(words.separator) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csvOf = (table) =>
    [...table.rows]
      .map((row) => [...row.cells].flatMap((c) => [quoted(textOf(c)), ...Array(c.colSpan - 1).fill("")]))
      .map((cells) => cells.join(words.separator))
      .join("\r\n") + "\r\n";

  const copied = async (text) => {
    if (navigator.clipboard && isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        // Refused by the browser: the older way may still be allowed.
      }
    }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };

  const said = document.createElement("p");
  said.className = "tool spoken";
  said.setAttribute("role", "status");
  main.append(said);
  for (const box of document.querySelectorAll(".wide")) {
    const table = box.querySelector("table");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tool copy";
    button.textContent = words.copy;
    const named = box.getAttribute("aria-label");
    if (named) button.setAttribute("aria-label", `${words.copy}: ${named}`);
    button.addEventListener("click", async () => {
      const done = await copied(csvOf(table));
      button.focus();
      said.textContent = button.textContent = done ? words.copied : words.refused;
      setTimeout(() => {
        button.textContent = words.copy;
        said.textContent = "";
      }, 3000);
    });
    box.after(button);
  }

  // Columns of plain tables sort: down, up, as they were. What is hidden or not known comes last.
  const valueOf = (cell) => {
    const text = textOf(cell);
    const found = text.replaceAll(words.thousands, "").replace(words.decimal, ".").match(/^[-−+]?\d+(?:\.\d+)?/);
    return found ? Number(found[0].replace("−", "-")) : null;
  };
  for (const table of document.querySelectorAll(".wide table")) {
    const body = table.tBodies[0];
    const head = table.tHead && table.tHead.rows[0];
    if (!head || body.rows.length < 4 || body.querySelector(".group, [colspan]")) continue;
    const asWas = [...body.rows];
    for (const [column, th] of [...head.cells].entries()) {
      if (!th.textContent.trim()) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = words.sort;
      button.append(...th.childNodes);
      th.append(button);
      const numbers = asWas.some((row) => valueOf(row.cells[column]) !== null);
      button.addEventListener("click", () => {
        const was = th.getAttribute("aria-sort");
        for (const other of head.cells) other.removeAttribute("aria-sort");
        const first = numbers ? "descending" : "ascending";
        const next = !was ? first : was === first ? (numbers ? "ascending" : "descending") : null;
        if (next) th.setAttribute("aria-sort", next);
        const way = next === "ascending" ? 1 : -1;
        const order = (a, b) => {
          const [x, y] = [a, b].map((r) => (numbers ? valueOf(r.cells[column]) : textOf(r.cells[column])));
          if (x === null || y === null) return (x === null) - (y === null);
          return way * (numbers ? x - y : x.localeCompare(y, document.documentElement.lang));
        };
        body.append(...(next ? [...asWas].sort(order) : asWas));
      });
    }
  }
})();
