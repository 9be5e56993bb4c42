(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const facts = document.body.dataset;
  const frames = [...document.querySelectorAll(".frame")];
  const buttons = { left: $("left"), right: $("right") };
  const views = ["consent", "trial", "interlude", "results", "stopped"];
  const loaded = new Map();
  let rater = "";
  let standing = null;
  let shownAt = 0;
  let open = false; // whether a key or a button answers
  let again = null; // what failed and can be tried again

  const root = document.documentElement.style;
  root.setProperty("--widest", `${facts.widest}px`);
  root.setProperty("--ratio", facts.width / facts.height);
  root.setProperty("--shape", `${facts.width} / ${facts.height}`);
  history.replaceState(null, "", "/"); // the token stays out of the address bar and of pictures of the screen

  const show = (name) => {
    for (const view of views) $(view).hidden = view !== name;
    window.scrollTo(0, 0);
  };

  const ask = async (path, body) => {
    const reply = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const told = await reply.json();
    if (!reply.ok) throw Object.assign(new Error(told.error), { told: true });
    return told;
  };

  const trying = async (act) => {
    try {
      await act();
    } catch (error) {
      again = act;
      $("reason").textContent = error.told
        ? error.message
        : "Your answers up to here are kept. Start “cardigan judge” again in the terminal, open the address that it shows, and go on under the same name.";
      show("stopped");
    }
  };

  const picture = (id) => {
    if (!loaded.has(id)) {
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.src = `/picture/${id}`;
      loaded.set(id, image);
    }
    return loaded.get(id);
  };

  const enable = (on) => {
    open = on;
    // Not disabled outright: that would take the focus from who steers with Tab and Enter.
    for (const side of ["left", "right"]) buttons[side].setAttribute("aria-disabled", !on);
  };

  const pose = async () => {
    if (!standing.pictures) return finish();
    const practising = standing.done < standing.practice;
    const [done, total] = practising
      ? [standing.done, standing.practice]
      : [standing.done - standing.practice, standing.total - standing.practice];
    $("place").textContent = `${practising ? "Practice " : ""}${done + 1} of ${total}`;
    $("bar").style.width = `${(100 * done) / total}%`;
    $("feedback").hidden = true;
    $("hint").hidden = false;
    for (const side of ["left", "right"]) buttons[side].classList.remove("chosen");
    const images = standing.pictures.map(picture);
    await Promise.all(images.map((image) => image.decode()));
    frames.forEach((frame, place) => frame.replaceChildren(images[place]));
    standing.ahead.forEach(picture);
    show("trial");
    requestAnimationFrame(() => { shownAt = performance.now(); enable(true); });
  };

  const answer = (side) => {
    if (!open) return;
    const seconds = (performance.now() - shownAt) / 1000;
    enable(false);
    buttons[side].classList.add("chosen");
    const number = standing.done;
    trying(async () => {
      const told = await ask("/answer", { rater, number, side, seconds });
      for (const id of standing.pictures) loaded.delete(id);
      const practised = number === standing.practice - 1;
      standing = told;
      if (!told.feedback) return pose();
      $("verdict").textContent = told.feedback.text;
      $("feedback").classList.toggle("wrong", !told.feedback.right);
      $("hint").hidden = true;
      $("feedback").hidden = false;
      $("next").onclick = () => (practised ? pause() : trying(pose));
      $("next").focus();
    });
  };

  const pause = () => {
    show("interlude");
    $("go").focus();
  };

  const element = (name, className, ...inside) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...inside);
    return made;
  };

  const drawn = (share) => {
    const range = element("i", "range");
    const value = element("i", "value");
    const [low, high] = share.interval;
    range.style.left = `${100 * low}%`;
    range.style.width = `${100 * (high - low)}%`;
    value.style.left = `${100 * share.value}%`;
    const track = element("div", "track", element("i", "half"), range, value);
    track.setAttribute("aria-hidden", "true");
    return element("div", "share", element("div", "name", element("b", "", share.name), element("span", "", share.told)), track);
  };

  const scale = () => {
    const made = element("div", "scale", ...["0%", "50%", "100%"].map((text) => element("span", "", text)));
    made.setAttribute("aria-hidden", "true");
    return made;
  };

  const row = (told, columns) => {
    const cells = told.counts.map((count) => element("td", "", count));
    while (cells.length < columns) cells.push(element("td", ""));
    return element("tr", "", element("th", "", told.name), ...cells, element("td", told.left_out ? "out" : "", told.left_out ? `left out: ${told.left_out}` : "counted"));
  };

  const finish = async () => {
    const told = await ask("/results", { rater });
    $("thanks").textContent = `Thank you, ${rater}. All is answered.`;
    $("headline").textContent = told.headline;
    $("label").textContent = told.label;
    $("label").hidden = !told.label;
    $("label").classList.toggle("plenty", !told.label.startsWith("Informal"));
    $("shares").replaceChildren(...told.shares.map(drawn), ...(told.shares.length ? [scale()] : []));
    $("sentences").replaceChildren(...told.sentences.map((text) => element("p", "", text)));
    const heads = ["Name", ...told.columns, ""].map((text) => element("th", "", text));
    $("raters").replaceChildren(
      element("thead", "", element("tr", "", ...heads)),
      element("tbody", "", ...told.raters.map((each) => row(each, told.columns.length))),
    );
    show("results");
  };

  const welcome = (name) => {
    enable(false);
    $("name").value = name;
    $("mistake").textContent = "";
    show("consent");
    $("name").focus({ preventScroll: true });
  };

  $("start").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("mistake").textContent = "";
    try {
      standing = await ask("/begin", { rater: $("name").value });
    } catch (error) {
      $("mistake").textContent = error.told ? error.message : "The program that serves this page has stopped.";
      return;
    }
    rater = standing.rater;
    sessionStorage.setItem("rater", rater); // after loading the page again, a guest is the same guest
    document.activeElement.blur();
    trying(pose);
  });
  for (const side of ["left", "right"]) buttons[side].addEventListener("click", () => answer(side));
  const keys = { ArrowLeft: "left", ArrowRight: "right" };
  if (facts.task === "real-or-fake") Object.assign(keys, { r: "left", f: "right" });
  document.addEventListener("keydown", (event) => {
    const side = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!side || !open || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    answer(side);
  });
  $("go").addEventListener("click", () => trying(pose));
  $("retry").addEventListener("click", () => trying(again));
  $("another").addEventListener("click", () => welcome(""));
  welcome(sessionStorage.getItem("rater") || "");
})();
