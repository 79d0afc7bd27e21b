// Says in the tab's title, and where that was allowed in a notification, that a job has ended.

const ENDED = { done: "✓", failed: "✗", cancelled: "■" }

const states = new Map() // of all jobs that this tab has heard of, by id
let news = "" // stands before the page's title until somebody looks
let watched = null

const title = () => document.querySelector("title")

function showNews() {
  const plain = document.title.replace(/^[✓✗■] .*? · /u, "")
  const wanted = news ? `${news} · ${plain}` : plain
  if (document.title !== wanted) document.title = wanted
}

// Streamlit writes the page's title anew whenever it draws the whole page.
function watch() {
  if (watched === title()) return
  watched = title()
  new MutationObserver(showNews).observe(watched, { childList: true, characterData: true, subtree: true })
  for (const sign of ["pointerdown", "keydown", "focus"]) window.addEventListener(sign, forget)
  document.addEventListener("visibilitychange", () => document.hidden || forget())
}

function forget() {
  news = ""
  showNews()
}

function hear({ id, title: name, state }) {
  const before = states.get(id)
  states.set(id, state)
  if (!ENDED[state] || before === undefined || ENDED[before]) return
  news = `${ENDED[state]} ${name} ${state}`
  showNews()
  if (allowed() === "granted") new Notification(`CFA Studio: ${name} is ${state}`, { tag: id })
}

const allowed = () => (globalThis.isSecureContext && globalThis.Notification ? Notification.permission : "denied")

function offer(button) {
  button.hidden = allowed() === "denied" // or not to be had in this browser, at this address
  button.disabled = allowed() === "granted"
  button.textContent = button.disabled ? "You will be notified when a job ends" : "Notify me when a job ends"
}

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector(".cfa-job-news")
  button.onclick = () => Notification.requestPermission().then(() => offer(button))
  offer(button)
  watch()
  data.jobs.forEach(hear)
}
