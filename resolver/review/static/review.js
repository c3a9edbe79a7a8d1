// Keys, type-ahead and counts. Without it every button still works.
"use strict";
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const dialog = one("#keys");
  const keysOn = one("#keys-on");

  // Keys can be switched off; where nothing can be stored, for this page alone.
  try { keysOn.checked = localStorage.getItem("keys") !== "off"; } catch { /* they stay on */ }
  keysOn.addEventListener("change", () => {
    try { localStorage.setItem("keys", keysOn.checked ? "on" : "off"); } catch { /* as above */ }
  });

  const typing = target =>
    /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
    (target.tagName === "INPUT" && target.type !== "checkbox") || target.isContentEditable;

  // What is typed into a field, with Ctrl, or through an input method is no command.
  const silent = event => event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey ||
    event.altKey || event.defaultPrevented || !keysOn.checked || dialog.open || typing(event.target);

  const candidates = () => all("input[name=ror_id]");
  const also = () => all("input[name=also]");
  const query = () => one("#find");
  let opened = 0;     // when the string was shown
  let linked = "";    // what was ticked then
  let sending = false;

  function start() {
    const field = query();
    if (field && !field.dataset.started) {
      field.dataset.started = "yes";
      chosen = -1;
      new MutationObserver(listed).observe(one("#found"), { childList: true });
    }
    const form = one("#item");
    if (!form || form.dataset.started) return;
    form.dataset.started = "yes";
    opened = performance.now();
    sending = false;
    linked = all("input[name=ror_id][data-linked]").map(box => box.value).sort().join();
    // With this script the field only finds; without it, it takes an id.
    query().removeAttribute("name");
    query().name = "q";
    tally();
    window.scrollTo(0, 0);
    one("#string").focus({ preventScroll: true });
  }

  function tally() {
    if (!one("#item")) return;
    const ticked = candidates().filter(box => box.checked);
    const same = ticked.map(box => box.value).sort().join() === linked;
    const words = !ticked.length ? "Save" : same ? "Confirm" :
      ticked.length === 1 ? "Save this one" : `Save these ${ticked.length}`;
    one("#save-words").textContent = words;
    if (!one("#onwards")) one("#save").disabled = !ticked.length;
    const count = one("#also-count");
    if (!count) return;
    const others = also().filter(box => box.checked);
    const records = others.reduce((sum, box) => sum + Number(box.dataset.records), 0);
    count.textContent = others.length ?
      `${others.length} (${records.toLocaleString("en")} record${records === 1 ? "" : "s"})` : "none";
  }

  function press(id) {
    const button = one(id);
    if (!button || button.disabled || sending) return;
    if (button.form) button.form.requestSubmit(button); else button.click();
  }

  function tick(box) {
    const folded = box.closest("details");
    if (folded) folded.open = true;
    box.checked = !box.checked;
    box.focus();
    tally();
  }

  function step(by) {
    const boxes = candidates().filter(box => box.offsetParent);
    const at = boxes.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : boxes.length - 1) : at + by;
    boxes[Math.max(0, Math.min(boxes.length - 1, next))]?.focus();
  }

  function note(then) {
    const field = one("#note");
    if (then) field.dataset.then = then; else delete field.dataset.then;
    field.focus();
  }

  function toggleAlso() {
    const some = also().some(box => !box.checked);
    also().forEach(box => { box.checked = some; });
    tally();
  }

  const commands = {
    ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
    Enter: () => press(one("#onwards") ? "#onwards" : "#save"), n: () => press("#none"),
    ".": () => press("#skip"), z: () => press("#undo"), u: () => note("unsure"), c: () => note(),
    s: toggleAlso, "/": () => query().focus(),
    m: () => { const fields = one("#lacking"); fields.open = true; one("input", fields).focus(); },
  };

  document.addEventListener("keydown", event => {
    if (silent(event)) return;
    const key = event.key;
    if (key === "?") dialog.showModal();
    else if (key === "g") window.open("/guide", "_blank", "noopener");
    else if (!one("#item")) {
      if (key !== "Enter" || event.target !== document.body || !one("#start")) return;
      one("#start").click();
    } else if (/^[1-9]$/.test(key)) {
      const box = one(`[data-number="${key}"] input`);
      if (!box) return;
      tick(box);
    } else if (Object.hasOwn(commands, key)) {
      // Enter on a link, a button or a fold does what it always does.
      if (key === "Enter" && /^(A|BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
      if (event.repeat && !key.startsWith("Arrow")) return;
      commands[key]();
    } else return;
    event.preventDefault();
  });

  document.addEventListener("change", event => { if (event.target.form?.id === "item") tally(); });

  document.addEventListener("click", event => {
    if (event.target.closest("#help")) dialog.showModal();
    const option = event.target.closest("#found [data-id]");
    if (option) add(option);
    // All of a candidate ticks it, but for its links.
    const candidate = event.target.closest(".candidate");
    if (candidate && !event.target.closest("a, input, label") && !String(getSelection())) tick(one("input", candidate));
  });

  document.addEventListener("submit", event => {
    const form = event.target;
    if (form.id !== "item" && form.id !== "undoing") return;
    if (sending) { event.preventDefault(); event.stopImmediatePropagation(); return; }
    sending = true;
    if (form.id === "item") form.elements.seconds.value = ((performance.now() - opened) / 1000).toFixed(1);
  }, true);

  // Fields with a meaning of their own for Enter and Escape.
  document.addEventListener("keydown", event => {
    const field = event.target;
    if (event.isComposing) return;
    if (field.id === "note") {
      if (event.key === "Escape") { delete field.dataset.then; one("#string").focus(); }
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        press(`#${field.dataset.then || "save"}`);
      }
    } else if (field.id === "find") {
      const moves = { ArrowDown: 1, ArrowUp: -1 };
      if (event.key in moves) choose(chosen + moves[event.key]);
      else if (event.key === "Enter") {
        const option = options()[chosen];
        if (option) add(option);
        else if (!one("#item")) return;
      } else if (event.key === "Escape") { close(); one("#string")?.focus({ preventScroll: true }); }
      else return;
      event.preventDefault();
    } else if (event.key === "Escape" && field.closest?.("#lacking")) one("#string").focus();
    else if (event.key === "Enter" && field.tagName === "INPUT" && field.closest("#lacking")) {
      event.preventDefault();
      press("#lacking button");
    }
  });

  // Type-ahead: the list comes from the server; the option that is meant is aria-activedescendant.
  let chosen = -1;
  const options = () => all("#found [data-id]");
  function choose(place) {
    const there = options();
    chosen = Math.max(there.length ? 0 : -1, Math.min(there.length - 1, place));
    there.forEach((option, number) => option.setAttribute("aria-selected", String(number === chosen)));
    if (chosen < 0) query().removeAttribute("aria-activedescendant");
    else {
      query().setAttribute("aria-activedescendant", there[chosen].id);
      there[chosen].scrollIntoView({ block: "nearest" });
    }
  }
  function listed() {
    const count = options().length;
    query().setAttribute("aria-expanded", String(count > 0));
    one("#spoken").textContent = query().value ? `${count} found` : "";
    choose(0);
  }
  function close() {
    one("#found").replaceChildren();
    if (one("#item")) query().value = "";
  }
  function add(option) {
    const { id, name } = option.dataset;
    const filters = query().closest("form.filters");
    if (filters) {
      filters.elements.ror_id.value = id;
      query().name = "";
      filters.requestSubmit();
      return;
    }
    let box = candidates().find(known => known.value === id);
    if (!box) {
      const number = candidates().length + 1;
      const element = (tag, properties, ...children) => {
        const made = Object.assign(document.createElement(tag), properties);
        made.append(...children);
        return made;
      };
      one("#candidates .empty")?.remove();
      box = element("input", { type: "checkbox", name: "ror_id", value: id, id: `c${number}` });
      const row = element("li", { className: "candidate" }, box,
        element("kbd", { textContent: number, ariaHidden: "true" }),
        element("div", { className: "body" },
          element("label", { className: "name", htmlFor: box.id }, element("bdi", { textContent: name })),
          element("p", { className: "facts", textContent: one("small", option).textContent }),
          element("p", { className: "links" }, element("a", { href: `https://ror.org/${id}`, target: "_blank",
            rel: "noreferrer noopener", textContent: `ror.org/${id}` }))));
      row.dataset.number = number;
      one("#candidates").append(row);
    }
    const folded = box.closest("details");
    if (folded) folded.open = true;
    box.checked = true;
    close();
    box.focus();
    tally();
  }
  document.addEventListener("focusout", event => {
    if (event.target.id === "find") setTimeout(() => { if (document.activeElement !== query()) one("#found")?.replaceChildren(); }, 150);
  });

  // What was sent and not answered can be sent again: the same form is saved once.
  document.addEventListener("htmx:finally:request", event => {
    if (event.target.id === "item" || event.target.id === "undoing") sending = false;
  });
  document.addEventListener("htmx:error", event => {
    sending = false;
    if (event.detail?.ctx?.response) return;
    const said = document.createElement("p");
    said.className = "message";
    said.textContent = "The server does not answer. Nothing is lost: press again in a moment.";
    if (event.target.id === "item" || event.target.id === "undoing") one("#message").replaceChildren(said);
  });
  document.addEventListener("htmx:after:swap", start);
  // A page out of the browser's memory may have been sent: it is read again.
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  start();
})();
