// The theme that was chosen, before anything is painted: a classic script, so that nothing flashes.
{
  const chosen = localStorage.getItem("asoc.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
