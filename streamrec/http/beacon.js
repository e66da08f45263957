/* streamrec: sends views and clicks of a page; docs/http.md */
(function () {
  "use strict";
  var script = document.currentScript, own = script.dataset;
  var url = new URL("v1/events", script.src).href;
  var MOST = 100, TRIES = 4, PAUSE_MS = 500;
  var waiting = [], timer = null;

  function newId() {
    var bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, function (b) { return (b + 256).toString(16).slice(1); }).join("");
  }

  /* the user's id, or one of this tab */
  function user() {
    if (own.user) return own.user;
    try {
      var id = sessionStorage.getItem("streamrec") || "tab-" + newId();
      sessionStorage.setItem("streamrec", id);
      return id;
    } catch (e) {
      return (own.user = "tab-" + newId());
    }
  }

  function post(events, tries) {
    var headers = { "Content-Type": "application/json" };
    if (own.token) headers.Authorization = "Bearer " + own.token;
    var body = JSON.stringify(events);
    fetch(url, { method: "POST", headers: headers, body: body, keepalive: true }).then(
      function (answer) {
        if (answer.status === 429 || answer.status >= 500) again(answer.headers.get("Retry-After"));
      },
      function () { again(null); }
    );
    /* under the same ids, so that each counts once */
    function again(seconds) {
      if (tries > 1) setTimeout(post, 1000 * (seconds || 2), events, tries - 1);
    }
  }

  function flush() {
    clearTimeout(timer);
    timer = null;
    while (waiting.length) post(waiting.splice(0, MOST), TRIES);
  }

  function send(type, item, more) {
    var event = { user: user(), item: item, type: type, id: newId() };
    waiting.push(Object.assign(event, more));
    timer = timer || setTimeout(flush, PAUSE_MS);
    return event.id;
  }

  document.addEventListener("click", function (happened) {
    var link = happened.target.closest("[data-streamrec-click]");
    if (link) send("click", link.dataset.streamrecClick);
  }, true);
  document.addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") flush();
  });
  addEventListener("pagehide", flush);

  function views() {
    document.querySelectorAll("[data-streamrec-view]").forEach(function (seen) {
      send("view", seen.dataset.streamrecView);
    });
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", views);
  else views();

  window.streamrec = { send: send, flush: flush };
})();
