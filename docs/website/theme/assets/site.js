// Search without a server, and a button that copies code. The pages read the same without it.
(() => {
  const input = document.getElementById("query"), box = document.getElementById("found");
  const list = box.querySelector("ol"), said = box.querySelector("p");
  const SHOWN = 12;

  // The index is a script, because a page opened from a folder may not request a file.
  function load() {
    if (load.begun) return;
    load.begun = true;
    const script = document.createElement("script");
    script.src = `${window.siteBase}/assets/search-index.js`;
    script.onload = search;
    document.head.append(script);
  }

  // Every word must be found; the beginning of a word and a heading count more than the middle of a text.
  function score(entry, words) {
    const title = entry[1].toLowerCase(), text = (entry.low ??= entry[2].toLowerCase());
    let sum = entry[0].includes("#") ? 0 : 1;
    for (const word of words) {
      const start = new RegExp(`(^|[^\\p{L}\\d])${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "u");
      const found = (title === word ? 40 : start.test(title) ? 12 : title.includes(word) ? 5 : 0) + (start.test(text) ? 3 : text.includes(word) ? 1 : 0);
      if (!found) return 0;
      sum += found;
    }
    return sum;
  }

  function marked(text, words) {
    const span = document.createElement("span"), at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 50);
    const cut = (at ? "… " : "") + text.slice(at, at + 150) + (text.length > at + 150 ? " …" : "");
    const pattern = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi");
    cut.split(pattern).forEach((part, i) => {
      if (i % 2) { const mark = document.createElement("mark"); mark.textContent = part; span.append(mark); } else span.append(part);
    });
    return span;
  }

  function search() {
    const words = input.value.toLowerCase().split(/\s+/).filter((w) => w.length > 1);
    list.replaceChildren();
    box.hidden = !words.length;
    if (box.hidden || !window.searchIndex) return;
    const hits = window.searchIndex.map((entry) => [score(entry, words), entry]).filter(([s]) => s > 0).sort((a, b) => b[0] - a[0]);
    said.textContent = hits.length ? `${hits.length} place${hits.length === 1 ? "" : "s"} found` : "Nothing found. Try fewer or shorter words.";
    for (const [, [place, title, text]] of hits.slice(0, SHOWN)) {
      const item = document.createElement("li"), link = document.createElement("a"), head = document.createElement("b");
      link.href = `${window.siteBase}/${place}`;
      head.textContent = title;
      link.append(head, marked(text, words));
      item.append(link);
      list.append(item);
    }
  }

  input.addEventListener("focus", load);
  input.addEventListener("input", () => { load(); search(); });
  input.form.addEventListener("submit", (event) => { event.preventDefault(); list.querySelector("a")?.click(); });
  document.addEventListener("click", (event) => { if (!input.form.contains(event.target)) box.hidden = true; else if (event.target.closest("a")) box.hidden = true; });
  document.addEventListener("keydown", (event) => {
    const typing = /^(input|textarea|select)$/i.test(document.activeElement.tagName);
    if (event.key === "/" && !typing) { event.preventDefault(); input.focus(); }
    if (event.key === "Escape") { box.hidden = true; }
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || box.hidden || !input.form.contains(document.activeElement)) return;
    event.preventDefault();
    const places = [input, ...list.querySelectorAll("a")], at = places.indexOf(document.activeElement);
    places[Math.max(0, Math.min(places.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)))].focus();
  });

  for (const block of document.querySelectorAll(".highlight")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").innerText);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.append(button);
  }
})();
